//! A read model made anew from the log equals the one that grew with it.

mod support;

use order_service::import::SHIPPED;

use self::support::{import_all, service, settled};

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_read_models_equal_the_old_ones() {
    let service = service().await;
    import_all(&service, SHIPPED).await;
    let before = settled(&service).await;

    let mut reports_of_progress = 0;
    let reports = service.rebuild(|_| reports_of_progress += 1).await.unwrap();
    assert!(reports_of_progress >= reports.len());
    for report in &reports {
        assert_eq!(report.equal, Some(true), "{report}");
        assert_eq!(report.digest_before, report.digest_after);
    }
    let rows: Vec<_> = reports
        .iter()
        .map(|report| (report.projection, report.rows))
        .collect();
    let refused = before.refused + before.unreadable;
    let expected = [
        ("orders", before.orders),
        ("accepted", before.accepted),
        ("refused", refused),
    ];
    assert_eq!(rows, expected);
    assert_eq!(settled(&service).await, before);
}
