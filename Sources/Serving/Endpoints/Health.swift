/// `GET /health`: whether the server answers.
struct HealthEndpoint: Endpoint {
  let method = "GET"
  let path = "/health"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    Reply(["status": "ok", "models": .int(server.models.all.count), "waiting": .int(server.thread.waitingCount)])
  }
}
