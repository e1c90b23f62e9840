//! Control messages of stream connections.
//!
//! Owns: who is subscribed to what. Does not: read or print messages; [`streams`] does.

use super::super::limits::STREAMS_PER_CONNECTION;
use super::super::render;
use super::super::streams::{self, Control, ControlError};
use super::{ConnectionId, Hub};

impl Hub {
    /// Carries out a control message; the reply is always one text.
    pub(super) fn control(&mut self, id: ConnectionId, text: &str) -> String {
        let form = self.config.control_errors;
        let (control, request_id) = match streams::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => return error.json(form),
        };
        let Some(connection) = self.connections.get_mut(&id) else {
            return streams::reply("null", &request_id);
        };
        let result = match control {
            Control::Subscribe(names) => {
                let new = names
                    .iter()
                    .filter(|name| !connection.subscriptions.contains(name))
                    .count();
                if connection.subscriptions.len() + new > STREAMS_PER_CONNECTION {
                    return ControlError::too_many_subscriptions(request_id).json(form);
                }
                self.subscribe(id, &names);
                "null".to_owned()
            }
            Control::Unsubscribe(names) => {
                connection
                    .subscriptions
                    .retain(|name| !names.contains(name));
                for name in &names {
                    if let Some(ids) = self.subscribers.get_mut(name) {
                        ids.retain(|&other| other != id);
                    }
                }
                "null".to_owned()
            }
            Control::List => {
                let names: Vec<_> = connection
                    .subscriptions
                    .iter()
                    .map(|name| render::json_string(name))
                    .collect();
                format!("[{}]", names.join(","))
            }
            Control::SetCombined(combined) => {
                connection.combined = combined;
                "null".to_owned()
            }
            Control::GetCombined => connection.combined.to_string(),
        };
        streams::reply(&result, &request_id)
    }

    /// Adds streams that the connection does not have yet, up to the venue's limit.
    pub(super) fn subscribe(&mut self, id: ConnectionId, names: &[String]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        for name in names {
            if connection.subscriptions.contains(name)
                || connection.subscriptions.len() >= STREAMS_PER_CONNECTION
            {
                continue;
            }
            connection.subscriptions.push(name.clone());
            if let Some(recorded) = self.market.recorded() {
                recorded.subscribed(name);
            }
            self.subscribers.entry(name.clone()).or_default().push(id);
        }
    }
}
