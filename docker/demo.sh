#!/bin/sh
# A demo without Docker: the engine on its simulated venue, and Debian's Prometheus and Alertmanager with the configuration of
# this repository, all on loopback. Prints where to look; Ctrl-C ends all three.
# Needs: cargo build --release; apt-get install --no-install-recommends prometheus prometheus-alertmanager
# Usage: docker/demo.sh [FOLDER for data; default: a new one, removed at the end]
# PROGRAM names another build of the engine. Ports: ENGINE_DEMO_PORT (8080), PROMETHEUS_DEMO_PORT (9090), ALERTMANAGER_DEMO_PORT (9093).
# Alerts are delivered as far as the guide's variables are set (SLACK_WEBHOOK_URL and so on); Alertmanager shows them anyway.
# With ALERT_SINK_DEMO_PORT=9099 nobody is told: every receiver but the mail is `veloz alert-sink` on that port, and what it
# prints is in deliveries.jsonl beside the logs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
veloz=${PROGRAM:-$here/../target/release/veloz}
engine=${ENGINE_DEMO_PORT:-8080}
prometheus=${PROMETHEUS_DEMO_PORT:-9090}
alertmanager=${ALERTMANAGER_DEMO_PORT:-9093}
sink=${ALERT_SINK_DEMO_PORT:-}

for program in prometheus prometheus-alertmanager; do
  if ! command -v "$program" >/dev/null; then
    echo "demo.sh: $program is not installed; apt-get install --no-install-recommends prometheus prometheus-alertmanager" >&2
    exit 69
  fi
done
if [ ! -x "$veloz" ]; then
  echo "demo.sh: $veloz is not there; build it with: cargo build --release" >&2
  exit 69
fi

started=
remove=
stop() {
  trap - EXIT
  # The engine cancels what is open and says so; somebody in a hurry does not keep it from that.
  trap '' HUP INT TERM
  # Each by its id.
  for process in $started; do kill "$process" 2>/dev/null || true; done
  for process in $started; do wait "$process" 2>/dev/null || true; done
  if [ -n "$remove" ]; then rm -rf "$remove"; fi
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ $# -gt 0 ]; then
  mkdir -p "$1"
  work=$(cd "$1" && pwd)
else
  work=$(mktemp -d)
  remove=$work
fi
if [ -n "$sink" ]; then
  SLACK_WEBHOOK_URL=http://127.0.0.1:$sink/slack
  export SLACK_WEBHOOK_URL
fi
sh "$here/make-secrets.sh" "$work/secrets" >"$work/secrets.log" 2>&1
mkdir -p "$work/assets"
ln -sfn "$here/runbooks" "$work/assets/runbooks"
sed -e "s#/etc/prometheus/alerts#$here/prometheus/alerts#" -e "s#/run/secrets#$work/secrets#" \
  -e "s#veloz-gateway:8080#127.0.0.1:$engine#" -e "s#localhost:9090#127.0.0.1:$prometheus#" \
  -e "s#alertmanager:9093#127.0.0.1:$alertmanager#" "$here/prometheus/prometheus.yml" >"$work/prometheus.yml"
sed -e "s#/run/secrets#$work/secrets#" -e "s#/etc/alertmanager/templates#$here/alertmanager/templates#" \
  "$here/alertmanager/alertmanager.yml" >"$work/alertmanager.yml"
if [ -n "$sink" ]; then
  sed -i -e "s#https://events.pagerduty.com/#http://127.0.0.1:$sink/#" -e "s#https://api.opsgenie.com/#http://127.0.0.1:$sink/#" \
    "$work/alertmanager.yml"
  # Grouped alerts go out at once, so that a rehearsal takes no minutes.
  sed -i -e 's#group_wait: .*#group_wait: 1s#' -e 's#group_interval: .*#group_interval: 5s#' "$work/alertmanager.yml"
  "$veloz" alert-sink --port "$sink" >"$work/deliveries.jsonl" 2>"$work/alert-sink.log" &
  started=$!
fi

# In a session of its own: a Ctrl-C goes to all of a terminal's, and the engine takes a second signal as the order to end at once.
# The variables for Alertmanager are not its business.
env -u SMTP_USERNAME -u SMTP_PASSWORD -u SLACK_WEBHOOK_URL -u PAGERDUTY_SERVICE_KEY -u PAGERDUTY_TRADING_KEY -u PAGERDUTY_RISK_KEY \
  -u OPSGENIE_API_KEY setsid "$veloz" run --no-status --set http.port="$engine" >"$work/veloz.log" 2>&1 &
core=$!
started="$started $core"
# With the secrets that docker-compose.yml asks for, or not at all.
export SECRETS_DIR="$work/secrets"
ALERTMANAGER_CONFIG=$work/alertmanager.yml ALERTMANAGER_RENDERED=$work/alertmanager-rendered.yml \
  ALERTMANAGER_BIN=prometheus-alertmanager sh "$here/require-secrets.sh" smtp_username smtp_password slack_webhook_url \
  pagerduty_service_key pagerduty_trading_key pagerduty_risk_key opsgenie_api_key -- sh "$here/alertmanager/start.sh" --storage.path="$work/alertmanager" \
  --web.listen-address="127.0.0.1:$alertmanager" --cluster.listen-address= >"$work/alertmanager.log" 2>&1 &
started="$started $!"
sh "$here/require-secrets.sh" scrape_token -- prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
  --web.listen-address="127.0.0.1:$prometheus" --web.external-url="http://localhost:$prometheus" \
  --web.user-assets="$work/assets" --web.enable-lifecycle --enable-feature=exemplar-storage >"$work/prometheus.log" 2>&1 &
started="$started $!"

failed() { # WHAT
  echo "demo.sh: $1; the last lines of the logs:" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
}
running() {
  for process in $started; do
    kill -0 "$process" 2>/dev/null || failed "a program has ended (is its port in use?)"
  done
}
answers() { # URL
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$1" 2>/dev/null
}
for url in "http://127.0.0.1:$engine/health/live" "http://127.0.0.1:$prometheus/-/ready" "http://127.0.0.1:$alertmanager/-/ready"; do
  tries=240
  until answers "$url"; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
      failed "$url does not answer"
    fi
    running
    sleep 0.5
  done
done
# Whoever answers is ours.
running
# Debian's Prometheus has the older pages alone, which are at another address.
pages=http://localhost:$prometheus
if ! answers "http://127.0.0.1:$prometheus/alerts"; then
  pages=$pages/classic
fi

cat <<TEXT
engine        http://localhost:$engine/health   http://localhost:$engine/metrics
Prometheus    $pages/alerts   $pages/targets
  try         $pages/graph?g0.expr=sum%20by%20(type)%20(rate(veloz_market_updates_total%5B1m%5D))&g0.tab=0
runbooks      http://localhost:$prometheus/user/runbooks/README.md
Alertmanager  http://localhost:$alertmanager
logs, data    $work
${sink:+deliveries    $work/deliveries.jsonl
}Ctrl-C ends all of them.
TEXT
wait "$core"
