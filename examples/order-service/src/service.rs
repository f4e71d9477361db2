//! The order service put together: a broker, aggregates, read models, a consumer, a desk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hitherto::{App, Broker, RedbStore, RunningApp};

use crate::desk::Desk;
use crate::notices::{Carrier, NoticeRow, announce};
use crate::order::Order;
use crate::read_model::{OrderRow, accepted, orders, refused};
use crate::refusal::Refusal;

/// How long [`OrderService::settle`] waits for the next notice: longer than the longest back-off.
const NOTICE_WITHIN: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The running service.
#[derive(Debug)]
pub struct OrderService {
    broker: Broker,
    /// The application: commands in, rows out.
    pub app: RunningApp,
    /// Where commands are decided.
    pub desk: Arc<Desk>,
}

/// Where read models are kept.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Rows that projections keep; can be rebuilt from the log at any time.
    pub read_models: RedbStore,
    /// Rows that the consumer writes, with the marks of what it has handled.
    pub notices: RedbStore,
}

impl Stores {
    /// Opens the files in a folder, or makes them.
    ///
    /// # Errors
    /// When they are in use by another process, damaged or cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        let open = |name: &str| {
            let path = folder.join(name);
            RedbStore::open(&path).with_context(|| {
                format!(
                    "cannot open {}; is another order service at work on it?",
                    path.display()
                )
            })
        };
        Ok(Self {
            read_models: open("read-models.redb")?,
            notices: open("notices.redb")?,
        })
    }

    /// Makes stores that are gone when the service is.
    ///
    /// # Errors
    /// When redb refuses.
    pub fn in_memory() -> Result<Self> {
        Ok(Self {
            read_models: RedbStore::in_memory()?,
            notices: RedbStore::in_memory()?,
        })
    }
}

impl OrderService {
    // ANCHOR: start
    /// Starts the service. Its read models may be behind until [`catch_up`](Self::catch_up).
    ///
    /// # Errors
    /// When the broker or a store does not play along.
    pub async fn start(broker: Broker, stores: Stores, carrier: Carrier) -> Result<Self> {
        let app = App::new(broker.clone())
            .aggregate::<Order>()
            .aggregate::<Refusal>()
            .projection(orders, stores.read_models.clone())
            .projection(accepted, stores.read_models.clone())
            .projection(refused, stores.read_models)
            .inbox(stores.notices)
            .provide(carrier)
            .consumer(announce)
            .start()
            .await?;
        let desk = Arc::new(Desk::new(app.clone()));
        Ok(Self { broker, app, desk })
    }
    // ANCHOR_END: start

    /// Waits until the read models have seen every stored event.
    ///
    /// # Errors
    /// When one cannot: it says why, and whether a rebuild helps.
    pub async fn catch_up(&self) -> Result<()> {
        self.app
            .catch_up()
            .await
            .context("the read models did not catch up with the log")
    }

    /// Waits until the read models are up to date and every paid order has its shipping notice.
    /// Tells whether all have one; it gives up when no new one comes for 10 s.
    ///
    /// # Errors
    /// When a read model cannot be read, or falls behind for good.
    pub async fn settle(&self) -> Result<bool> {
        self.catch_up().await?;
        let mut paid = 0;
        let count_paid = |_, row: OrderRow| paid += u64::from(row.payment.is_some());
        self.app.rows::<OrderRow>()?.for_each(count_paid).await?;
        let (mut seen, mut since) = (self.notices().await?, Instant::now());
        while seen < paid && since.elapsed() < NOTICE_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.notices().await?;
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
        }
        Ok(seen >= paid)
    }

    /// Counts the shipping notices.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn notices(&self) -> Result<u64> {
        let mut notices = 0;
        self.app
            .rows::<NoticeRow>()?
            .for_each(|_, _| notices += 1)
            .await?;
        Ok(notices)
    }

    /// Finishes what is under way and stops.
    ///
    /// # Errors
    /// When an embedded broker cannot write its last checkpoint; nothing decided is lost even then.
    pub async fn shutdown(&self) -> Result<()> {
        self.app.shutdown().await;
        self.broker
            .shutdown()
            .await
            .context("the broker did not stop in order")
    }
}
