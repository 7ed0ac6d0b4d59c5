/// `GET /metrics`: what the server has counted, for Prometheus.
struct MetricsEndpoint: Endpoint {
  let method = "GET"
  let path = "/metrics"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let totals = server.thread.totals
    let text = server.meters.text([
      ("queue_requests", "gauge", "Requests that wait for the model.", Double(server.thread.waitingCount)),
      ("connections", "gauge", "Open connections.", Double(server.connectionCount)),
      ("model_turns_total", "counter", "Turns of the thread that computes.", Double(totals.turns)),
      ("model_turn_requests_total", "counter", "Requests that had a part in these turns.", Double(totals.works)),
      ("model_busy_seconds_total", "counter", "Time that it has computed.", totals.busySeconds),
    ])
    return Reply(text: text, type: "text/plain; version=0.0.4")
  }
}
