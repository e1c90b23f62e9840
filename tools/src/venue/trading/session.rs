//! What a websocket API connection is logged on as, and what it listens to.
//!
//! Owns: the session's key and its subscriptions. Does not: verify anything, send anything.
//! Invariants: one subscription an account; subscription ids are never used twice. Source: Binance
//! Spot `web-socket-api.md`, "Session Authentication" and "User Data Stream subscription".

use super::super::exchange::AccountIndex;
use super::super::methods::ApiError;
use super::super::source::VenueMicros;

/// Subscriptions that a connection may have started in its life.
pub(crate) const SUBSCRIPTIONS_MAX: u32 = 65_535;

/// Position of a key among the venue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyIndex(pub(crate) usize);

/// A key that the connection is logged on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logon {
    pub(crate) key: KeyIndex,
    pub(crate) account: AccountIndex,
    pub(crate) since: VenueMicros,
}

/// One listener to an account's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) id: u32,
    pub(crate) account: AccountIndex,
    /// Started by the session's own logon: it ends with it.
    pub(crate) by_logon: bool,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connected_since: VenueMicros,
    pub(crate) logon: Option<Logon>,
    subscriptions: Vec<Subscription>,
    started: u32,
}

impl Session {
    pub(crate) fn new(now: VenueMicros) -> Self {
        Self {
            connected_since: now,
            logon: None,
            subscriptions: Vec::new(),
            started: 0,
        }
    }

    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// Starts listening to an account; returns the subscription's id.
    pub(crate) fn subscribe(
        &mut self,
        account: AccountIndex,
        by_logon: bool,
    ) -> Result<u32, ApiError> {
        if self.listens_to(account).is_some() {
            return Err(ApiError::subscription_active());
        }
        if self.started == SUBSCRIPTIONS_MAX {
            return Err(ApiError::subscriptions_exhausted());
        }
        let id = self.started;
        self.started += 1;
        self.subscriptions.push(Subscription {
            id,
            account,
            by_logon,
        });
        Ok(id)
    }

    /// The subscription to an account.
    pub(crate) fn listens_to(&self, account: AccountIndex) -> Option<u32> {
        let mut all = self.subscriptions.iter();
        all.find(|subscription| subscription.account == account)
            .map(|subscription| subscription.id)
    }

    /// Ends one subscription, or all; refused when there is none to end.
    pub(crate) fn unsubscribe(&mut self, id: Option<u32>) -> Result<Vec<u32>, ApiError> {
        let ended = self.end(|subscription| id.is_none_or(|id| subscription.id == id));
        if ended.is_empty() {
            return Err(ApiError::subscription_inactive());
        }
        Ok(ended)
    }

    /// Forgets the key; returns the subscriptions that end with it.
    pub(crate) fn log_out(&mut self) -> Vec<u32> {
        self.logon = None;
        self.end(|subscription| subscription.by_logon)
    }

    /// Ends every subscription.
    pub(crate) fn end_all(&mut self) -> Vec<u32> {
        self.end(|_| true)
    }

    fn end(&mut self, which: impl Fn(&Subscription) -> bool) -> Vec<u32> {
        let ended = self
            .subscriptions
            .extract_if(.., |subscription| which(subscription));
        ended.map(|subscription| subscription.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_listened_to_once_and_ids_are_not_used_again() {
        let mut session = Session::new(VenueMicros(0));
        let (first, second) = (AccountIndex(0), AccountIndex(1));
        let code = |result: Result<u32, ApiError>| result.map_err(|error| error.code);
        assert_eq!(code(session.subscribe(first, true)), Ok(0));
        assert_eq!(code(session.subscribe(first, false)), Err(-2035));
        assert_eq!(code(session.subscribe(second, false)), Ok(1));
        assert_eq!(session.log_out(), [0], "only the logon's own ends");
        assert_eq!(session.listens_to(second), Some(1));
        assert_eq!(code(session.subscribe(first, false)), Ok(2));
        let ended = |result: Result<Vec<u32>, ApiError>| result.map_err(|error| error.code);
        assert_eq!(ended(session.unsubscribe(Some(0))), Err(-2036));
        assert_eq!(ended(session.unsubscribe(Some(2))), Ok(vec![2]));
        assert_eq!(ended(session.unsubscribe(None)), Ok(vec![1]));
        assert_eq!(ended(session.unsubscribe(None)), Err(-2036));
    }

    #[test]
    fn a_connection_has_only_so_many_subscriptions_in_its_life() {
        let mut session = Session::new(VenueMicros(0));
        for _ in 0..SUBSCRIPTIONS_MAX {
            session.subscribe(AccountIndex(0), false).expect("one more");
            session.end_all();
        }
        let code = session
            .subscribe(AccountIndex(0), false)
            .map_err(|error| error.code);
        assert_eq!(code, Err(-2042));
    }
}
