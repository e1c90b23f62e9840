//! Sessions and user data: logon, subscriptions, events on their way to subscribers.
//!
//! Owns: the session methods, who gets an event, faults of events. Does not: make events or print
//! them. Invariant: an event goes to the connections that listen to its account when it leaves;
//! nothing is kept for later ones.

use bytes::Bytes;

use super::super::connection::{Out, Surface};
use super::super::exchange::{AccountIndex, Event};
use super::super::faults::{Applies, Fault};
use super::super::methods::{ApiError, Params, Session};
use super::super::render::{TimeUnit, json_string};
use super::super::source::VenueMicros;
use super::super::trading::agenda::Arrival;
use super::super::trading::events::{self, UserEvent};
use super::super::trading::keys::KeyKind;
use super::super::trading::session::Logon;
use super::replies::Caller;
use super::trade::Proof;
use super::{ConnectionId, Hub};

/// What the answer to an unsubscription is followed by.
type Ended = Vec<u32>;

impl Hub {
    /// Carries out a method of the connection itself.
    pub(super) fn session_call(
        &mut self,
        now: VenueMicros,
        caller: Caller,
        method: Session,
        params: &Params,
        proof: &Proof<'_>,
        known: Result<(), ApiError>,
    ) {
        let Some(connection) = caller.connection() else {
            // No route leads here over HTTP.
            return self.answer(now, caller, Err(ApiError::unsupported()));
        };
        let result = known.and_then(|()| match method {
            Session::Logon => self.log_on(now, &caller, connection, params, proof),
            Session::Status => Ok((
                self.session_status(now, connection, caller.unit),
                Ended::new(),
            )),
            Session::Logout => {
                let ended = match self.connections.get_mut(&connection) {
                    Some(connection) => connection.session.log_out(),
                    None => Ended::new(),
                };
                Ok((self.session_status(now, connection, caller.unit), ended))
            }
            Session::Subscribe => self.subscribe_logon(connection),
            Session::SubscribeSignature => {
                let grant = self.authorize(now, &caller, params, proof)?;
                self.subscribe_user_data(connection, grant.account, false)
            }
            Session::Unsubscribe => self.unsubscribe(connection, params),
            Session::Subscriptions => Ok((self.subscriptions(connection), Ended::new())),
        });
        let unit = caller.unit;
        let (result, ended) = match result {
            Ok((result, ended)) => (Ok(result), ended),
            Err(error) => (Err(error), Ended::new()),
        };
        self.answer(now, caller, result);
        for subscription in ended {
            let event = events::stream_terminated(now, unit);
            self.tell(connection, events::enveloped(subscription, &event));
        }
    }

    fn log_on(
        &mut self,
        now: VenueMicros,
        caller: &Caller,
        connection: ConnectionId,
        params: &Params,
        proof: &Proof<'_>,
    ) -> Result<(String, Ended), ApiError> {
        let key = self.trading.find_key(&params.mandatory_text("apiKey")?)?;
        if self.trading.key(key).kind() == KeyKind::Hmac {
            return Err(ApiError::hmac_cannot_log_on());
        }
        let grant = self.authorize(now, caller, params, proof)?;
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.session.logon = Some(Logon {
                key: grant.key,
                account: grant.account,
                since: now,
            });
        }
        Ok((
            self.session_status(now, connection, caller.unit),
            Ended::new(),
        ))
    }

    fn session_status(&self, now: VenueMicros, connection: ConnectionId, unit: TimeUnit) -> String {
        let Some(connection) = self.connections.get(&connection) else {
            return "null".to_owned();
        };
        let session = &connection.session;
        let (key, since) = match session.logon {
            Some(logon) => (
                json_string(&self.trading.key(logon.key).text),
                unit.of(logon.since).to_string(),
            ),
            None => ("null".to_owned(), "null".to_owned()),
        };
        format!(
            concat!(
                r#"{{"apiKey":{},"authorizedSince":{},"connectedSince":{},"#,
                r#""returnRateLimits":{},"serverTime":{},"userDataStream":{}}}"#
            ),
            key,
            since,
            unit.of(session.connected_since),
            connection.return_rate_limits,
            unit.of(now),
            !session.subscriptions().is_empty()
        )
    }

    fn subscribe_logon(&mut self, connection: ConnectionId) -> Result<(String, Ended), ApiError> {
        let logon = match self.connections.get(&connection) {
            Some(connection) => connection.session.logon,
            None => None,
        };
        let logon = logon.ok_or_else(ApiError::unauthorized)?;
        self.subscribe_user_data(connection, logon.account, true)
    }

    fn subscribe_user_data(
        &mut self,
        connection: ConnectionId,
        account: AccountIndex,
        by_logon: bool,
    ) -> Result<(String, Ended), ApiError> {
        let Some(connection) = self.connections.get_mut(&connection) else {
            return Err(ApiError::unauthorized());
        };
        let id = connection.session.subscribe(account, by_logon)?;
        Ok((format!(r#"{{"subscriptionId":{id}}}"#), Ended::new()))
    }

    fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        params: &Params,
    ) -> Result<(String, Ended), ApiError> {
        let id = match params.integer("subscriptionId")? {
            Some(id) => Some(u32::try_from(id).map_err(|_| ApiError::subscription_inactive())?),
            None => None,
        };
        match self.connections.get_mut(&connection) {
            Some(connection) => Ok(("{}".to_owned(), connection.session.unsubscribe(id)?)),
            None => Err(ApiError::subscription_inactive()),
        }
    }

    fn subscriptions(&self, connection: ConnectionId) -> String {
        let all = match self.connections.get(&connection) {
            Some(connection) => connection.session.subscriptions(),
            None => &[],
        };
        let rows: Vec<_> = all
            .iter()
            .map(|subscription| format!(r#"{{"subscriptionId":{}}}"#, subscription.id))
            .collect();
        format!("[{}]", rows.join(","))
    }

    /// Sends the events of one transaction on their way.
    pub(super) fn schedule_events(&mut self, due: VenueMicros, events: Vec<UserEvent>) {
        if !events.is_empty() {
            self.agenda.add(due, Arrival::Events(events));
        }
    }

    /// Takes up what the exchange did because of the public flow or of a fault.
    pub(super) fn harvest(&mut self, at: VenueMicros) {
        let events = self.trading.take_events();
        let due = VenueMicros(at.0 + self.config.latency.engine_to_event_us);
        self.schedule_events(due, events);
    }

    /// Everything on its way that arrives at or before `now`.
    pub(super) fn settle(&mut self, now: VenueMicros) {
        while let Some((due, arrival)) = self.agenda.pop(now) {
            match arrival {
                Arrival::Request(job) => self.execute(due, *job),
                Arrival::Reply(reply) => self.deliver_reply(reply),
                Arrival::Events(events) => {
                    for event in &events {
                        self.tell_subscribers(due, event);
                    }
                }
                Arrival::Reopening(symbol) => self.reopen(due, symbol),
            }
        }
    }

    fn tell_subscribers(&mut self, now: VenueMicros, event: &UserEvent) {
        let account = event.account();
        let listeners: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(&id, connection)| {
                let subscription = connection.session.listens_to(account)?;
                Some((id, subscription, connection.unit))
            })
            .collect();
        if listeners.is_empty() {
            return;
        }
        let mut fired = Vec::new();
        self.faults.next(Applies::UserEvent, &mut fired);
        if fired.contains(&Fault::EventLost) {
            return;
        }
        let times = if fired.contains(&Fault::EventDuplicate) {
            2
        } else {
            1
        };
        let symbol = match event {
            UserEvent::Exchange(Event::Report(report)) => report.order.symbol,
            UserEvent::Exchange(Event::Balances { .. })
            | UserEvent::Deposit { .. }
            | UserEvent::ExternalLock { .. } => super::SymbolIndex(0),
        };
        let specs = self.specs.clone();
        for (id, subscription, unit) in listeners {
            let text = event.json(now, &specs[symbol.0].symbol, unit);
            let text = Bytes::from(events::enveloped(subscription, &text));
            for _ in 0..times {
                self.send(id, Out::Text(text.clone()));
            }
        }
    }

    /// Every logon is revoked: the key was deleted, or its rights were.
    pub(super) fn revoke_sessions(&mut self) {
        let revoked: Vec<_> = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| connection.session.logon.is_some())
            .map(|(&id, connection)| {
                // Nothing more comes on the logon's own subscription, and nothing says so.
                connection.session.log_out();
                id
            })
            .collect();
        let error = ApiError::rejected_key();
        for id in revoked {
            let text = format!(
                r#"{{"id":null,"status":{},"error":{}}}"#,
                error.status,
                error.bare_json()
            );
            self.tell(id, text);
        }
    }

    /// Every subscription ends, with the event that says so.
    pub(super) fn terminate_streams(&mut self, now: VenueMicros) {
        let ended: Vec<_> = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| connection.surface == Surface::Api)
            .flat_map(|(&id, connection)| {
                let unit = connection.unit;
                let ended = connection.session.end_all();
                ended
                    .into_iter()
                    .map(move |subscription| (id, subscription, unit))
            })
            .collect();
        for (id, subscription, unit) in ended {
            let event = events::stream_terminated(now, unit);
            self.tell(id, events::enveloped(subscription, &event));
        }
    }
}
