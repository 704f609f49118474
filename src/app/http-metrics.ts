/** What the HTTP server holds at the moment, read at each scrape. */
import type { HttpServer } from '../http/server.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export function observeHttp(metrics: Metrics, http: HttpServer): void {
  metrics.observe('modelmux_requests_in_flight', () => http.inFlight)
  metrics.observe('modelmux_connections_open', () => http.connections.open)
  metrics.observe('modelmux_connections_refused_total', () =>
    Object.entries(http.connections.refused).map(([reason, count]) => [{ reason }, count] as const),
  )
  metrics.observe('modelmux_http_held_bytes', () =>
    Object.entries(http.heldBytes).map(([kind, bytes]) => [{ kind }, bytes] as const),
  )
}
