//! The process: log lines, identities, client order ids, the audit log, traces, build.

use super::{Metric, PROFILE, VERSION, counter, gauge, optional};
use crate::api::client_ids::IDS_MAX;
use crate::audit::metrics::Loss;
use crate::audit::record::LogType;
use crate::audit::writer::QUEUE_MAX;
use crate::auth::metrics::{Means, Outcome};

/// Everything of the process.
pub(super) static PROCESS: &[Metric] = &[
    // Log lines.
    counter(
        "veloz_log_lines_total",
        &["level"],
        "Log lines that were taken to be written.",
        |from, samples| {
            for (level, lines) in from.log.lines() {
                samples.value(&[level], lines);
            }
        },
    ),
    counter(
        "veloz_log_lines_dropped_total",
        &[],
        "Log lines lost because the queue to the disk or the terminal was full.",
        |from, samples| samples.value(&[], from.log.lines_dropped()),
    ),
    counter(
        "veloz_log_write_errors_total",
        &[],
        "Writes of log lines that the system refused.",
        |from, samples| samples.value(&[], from.log.writes_failed()),
    ),
    // Identities.
    counter(
        "veloz_auth_attempts_total",
        &["means", "outcome"],
        "Attempts to say who one is, by password, token, key or ticket, and what came of them.",
        |from, samples| {
            for means in Means::ALL {
                for outcome in Outcome::ALL {
                    let labels = [means.label(), outcome.label()];
                    samples.value(&labels, from.auth.attempts(means, outcome));
                }
            }
        },
    ),
    counter(
        "veloz_auth_denied_total",
        &[],
        "Requests of somebody known who may not make them.",
        |from, samples| samples.value(&[], from.auth.denied()),
    ),
    // Client order ids.
    gauge(
        "veloz_client_order_ids_used",
        &[],
        "Client order ids that clients gave themselves and that are kept, because each is used once.",
        |from, samples| samples.value(&[], from.client_ids_used),
    ),
    gauge(
        "veloz_client_order_ids_size",
        &[],
        "Client order ids that may be kept: then orders that name their own are refused.",
        |from, samples| {
            let _ = from;
            samples.value(&[], IDS_MAX);
        },
    ),
    // The audit log.
    counter(
        "veloz_audit_records_total",
        &["log_type"],
        "Audit records on the disk.",
        |from, samples| {
            for log_type in LogType::ALL {
                samples.value(&[log_type.label()], from.audit.written_of(log_type));
            }
        },
    ),
    counter(
        "veloz_audit_lost_total",
        &["cause"],
        "Audit records that are not in the log, or not in its copy (copy): each is an incident.",
        |from, samples| {
            for loss in Loss::ALL {
                samples.value(&[loss.label()], from.audit.lost_by(loss));
            }
        },
    ),
    gauge(
        "veloz_audit_queue_used",
        &[],
        "Audit records that wait to be written.",
        |from, samples| samples.value(&[], from.audit.queue_used()),
    ),
    gauge(
        "veloz_audit_queue_size",
        &[],
        "Audit records that may wait.",
        |from, samples| {
            let _ = from;
            samples.value(&[], QUEUE_MAX);
        },
    ),
    gauge(
        "veloz_audit_writable",
        &[],
        "1 while the last audit records were written, else 0: then administrative actions are refused.",
        |from, samples| samples.value(&[], from.audit.is_writable()),
    ),
    // Traces.
    counter(
        "veloz_trace_spans_total",
        &["result"],
        "Spans by what became of them: exported, failed (the collector did not take them), dropped (the queue was full), sampled_out.",
        |from, samples| {
            for (result, count) in from.traces.spans() {
                samples.value(&[result], count);
            }
        },
    ),
    gauge(
        "veloz_trace_spans_waiting",
        &[],
        "Spans that wait for the exporter.",
        |from, samples| samples.value(&[], from.traces.waiting()),
    ),
    // Build and process.
    gauge(
        "veloz_build_info",
        &["version", "profile", "arch"],
        "What runs; always 1.",
        |from, samples| {
            let _ = from;
            samples.value(&[VERSION, PROFILE, std::env::consts::ARCH], 1u64);
        },
    ),
    counter(
        "process_cpu_seconds_total",
        &[],
        "User and system time of all threads.",
        |from, samples| {
            if let Some(seconds) = from.process.cpu_seconds {
                samples.value(&[], seconds);
            }
        },
    )
    .seconds(),
    gauge(
        "process_resident_memory_bytes",
        &[],
        "Memory in RAM.",
        |from, samples| optional(samples, from.process.resident_bytes),
    )
    .bytes(),
    gauge(
        "process_virtual_memory_bytes",
        &[],
        "Address space.",
        |from, samples| optional(samples, from.process.virtual_bytes),
    )
    .bytes(),
    gauge(
        "process_open_fds",
        &[],
        "Open file descriptors.",
        |from, samples| optional(samples, from.process.open_fds),
    ),
    gauge(
        "process_max_fds",
        &[],
        "Most file descriptors that the process may open.",
        |from, samples| optional(samples, from.process.max_fds),
    ),
    gauge(
        "process_threads",
        &[],
        "Threads of the process.",
        |from, samples| optional(samples, from.process.threads),
    ),
    gauge(
        "process_start_time_seconds",
        &[],
        "Unix time of the process' start.",
        |from, samples| {
            if let Some(unix) = from.process.start_time_seconds {
                samples.value(&[], unix);
            }
        },
    )
    .seconds(),
];
