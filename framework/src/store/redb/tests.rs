//! The redb store by itself.

use super::*;

fn at(position: u64) -> Checkpoint {
    let incarnation = "2026-01-01".to_owned();
    Checkpoint {
        position: Position(position),
        incarnation,
        generation: 0,
    }
}

fn put(key: &str, value: &str) -> RowChange {
    RowChange {
        key: key.into(),
        value: Some(value.into()),
    }
}

#[tokio::test]
async fn rows_and_checkpoint_come_together_or_not_at_all() {
    let store = RedbStore::in_memory().unwrap();
    let table = Table::active("orders");
    let mut dropped = store.begin(Durability::Immediate).await.unwrap();
    dropped.write(table, vec![put("a", "1")]).await.unwrap();
    dropped.advance("p", None, &at(1)).await.unwrap();
    drop(dropped);
    assert_eq!(store.checkpoint("p").await.unwrap(), None);
    assert_eq!(
        store.get(table, vec![b"a".to_vec()]).await.unwrap(),
        vec![None]
    );

    let mut kept = store.begin(Durability::Immediate).await.unwrap();
    kept.write(table, vec![put("a", "1")]).await.unwrap();
    kept.advance("p", None, &at(1)).await.unwrap();
    kept.commit().await.unwrap();
    assert_eq!(store.checkpoint("p").await.unwrap(), Some(at(1)));
    let rows = store
        .get(table, vec![b"a".to_vec(), b"b".to_vec()])
        .await
        .unwrap();
    assert_eq!(rows, vec![Some(b"1".to_vec()), None]);
}

#[tokio::test]
async fn a_moved_checkpoint_fences() {
    let store = RedbStore::in_memory().unwrap();
    let mut first = store.begin(Durability::Immediate).await.unwrap();
    first.advance("p", None, &at(5)).await.unwrap();
    first.commit().await.unwrap();
    let mut late = store.begin(Durability::Immediate).await.unwrap();
    let error = late.advance("p", Some(&at(4)), &at(6)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { found: Some(found), .. } if found == at(5)));
}

#[tokio::test]
async fn activating_a_generation_switches_and_drops_the_former() {
    let store = RedbStore::in_memory().unwrap();
    let mut tx = store.begin(Durability::Relaxed).await.unwrap();
    tx.write(Table::active("orders"), vec![put("a", "old")])
        .await
        .unwrap();
    tx.write(Table::generation("orders", 1), vec![put("b", "new")])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    tx.activate("orders", 1).await.unwrap();
    tx.commit().await.unwrap();
    let rows = store.scan(Table::active("orders"), None, 10).await.unwrap();
    assert_eq!(
        rows,
        vec![RowBytes {
            key: b"b".to_vec(),
            value: b"new".to_vec()
        }]
    );
    assert!(
        store
            .scan(Table::generation("orders", 0), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn scan_pages_in_key_order() {
    let store = RedbStore::in_memory().unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    let rows = ["c", "a", "b"].map(|key| put(key, key)).to_vec();
    tx.write(Table::active("t"), rows).await.unwrap();
    tx.commit().await.unwrap();
    let page = store
        .scan(Table::active("t"), Some(b"a".to_vec()), 1)
        .await
        .unwrap();
    assert_eq!(
        page,
        vec![RowBytes {
            key: b"b".to_vec(),
            value: b"b".to_vec()
        }]
    );
}

#[tokio::test]
async fn a_handled_message_stays_handled_when_its_mark_is_forgotten() {
    let store = RedbStore::in_memory().unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    tx.mark_handled("d", Position(7), "e7").await.unwrap();
    tx.mark_handled("d", Position(9), "e9").await.unwrap();
    let again = tx.mark_handled("d", Position(7), "e7").await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyHandled { .. }));
    tx.commit().await.unwrap();
    let mut tx = store.begin(Durability::Immediate).await.unwrap();
    tx.forget_handled("d", Position(8)).await.unwrap();
    // An older floor does not bring anything back.
    tx.forget_handled("d", Position(2)).await.unwrap();
    let again = tx.mark_handled("d", Position(3), "e3").await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyHandled { .. }));
    tx.commit().await.unwrap();
    for (position, handled) in [(1, true), (8, true), (9, true), (10, false)] {
        assert_eq!(
            store.handled("d", Position(position)).await.unwrap(),
            handled,
            "{position}"
        );
    }
    assert!(!store.handled("other", Position(1)).await.unwrap());
}
