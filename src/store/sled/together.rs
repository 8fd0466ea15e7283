//! Changes of several callers in one transaction.
//!
//! What sled does around a transaction costs more than what is in it: its log is written out twice,
//! and each time the disk is waited for.

use std::cell::RefCell;

use tokio::sync::oneshot;

use super::{
    Engine,
    tx::{SledTx, TxError},
};
use crate::store::{StoreError, kv::keys};

/// How many changes share a transaction at most: others get their turn in between.
const TOGETHER: usize = 64;

/// A change, and who waits for it.
pub(super) trait Change: Send {
    /// Makes it, as part of a transaction that may be begun anew.
    fn make(&mut self, tx: &mut SledTx<'_>) -> Result<(), TxError>;

    /// It was not made.
    fn fail(&mut self, error: StoreError);

    /// Tells what came of it, `durable` being whether that may be told.
    fn answer(self: Box<Self>, durable: Result<(), StoreError>);
}

struct Asked<T, F> {
    step: F,
    made: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

/// A change, and where its answer will come.
pub(super) fn change<T, F>(step: F) -> (Box<dyn Change>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: Fn(&mut SledTx<'_>) -> Result<T, TxError> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let asked = Asked {
        step,
        made: None,
        caller,
    };
    (Box::new(asked), answer)
}

impl<T, F> Change for Asked<T, F>
where
    T: Send,
    F: Fn(&mut SledTx<'_>) -> Result<T, TxError> + Send,
{
    fn make(&mut self, tx: &mut SledTx<'_>) -> Result<(), TxError> {
        self.made = Some(Ok((self.step)(tx)?));
        Ok(())
    }

    fn fail(&mut self, error: StoreError) {
        self.made = Some(Err(error));
    }

    fn answer(self: Box<Self>, durable: Result<(), StoreError>) {
        let made = match (durable, self.made) {
            (Ok(()), Some(made)) => made,
            (Err(error), _) => Err(error),
            // Nobody tried: whoever waits is told so by the closed channel.
            (Ok(()), None) => return,
        };
        // One that gave up waiting needs no answer.
        let _ = self.caller.send(made);
    }
}

impl Engine {
    /// Commits changes in the order in which they came.
    pub(super) fn make(&self, changes: &mut [Box<dyn Change>]) {
        for changes in changes.chunks_mut(TOGETHER) {
            let made = self.commit_all(changes);
            match (made, &mut *changes) {
                (Ok(()), _) => {}
                (Err(error), [only]) => only.fail(error),
                // One of them met a damaged row, which the others need not suffer for. A store that
                // is poisoned refuses each.
                (Err(_), many) => {
                    for change in many {
                        if let Err(error) = self.commit_all(std::slice::from_mut(change)) {
                            change.fail(error);
                        }
                    }
                }
            }
        }
    }

    /// All of them or none.
    fn commit_all(&self, changes: &mut [Box<dyn Change>]) -> Result<(), StoreError> {
        let changes = RefCell::new(changes);
        self.in_turn(|| {
            let before = self.standing.next() - 1;
            let (number, changed) = self.transact(|tx| {
                let mut number = before;
                for change in &mut **changes.borrow_mut() {
                    number += u64::from(tx.writes(|tx| change.make(tx))?);
                }
                if number > before {
                    tx.set(keys::SEQUENCE, &number.to_be_bytes())?;
                }
                Ok(number)
            })?;
            if changed {
                self.standing.committed(number);
            }
            Ok(())
        })
    }
}
