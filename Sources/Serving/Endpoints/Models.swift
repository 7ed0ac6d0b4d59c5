import Files

/// `GET /v1/models`: what 'model' can name, in OpenAI's shape.
struct ModelsEndpoint: Endpoint {
  let method = "GET"
  let path = "/v1/models"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let models = server.models.all.map { model -> JSONValue in
      var object: JSONObject = [
        "id": .string(model.name), "object": "model", "created": .int(server.created), "owned_by": "perigee", "root": .string(model.root),
        "task": .string(model.trained.type.name),
      ]
      if let predictor = model.predictor {
        object["labels"] = .array(predictor.labels.map { .string($0) })
        object["max_length"] = .int(server.options.maxLength)
      } else {
        object["max_model_len"] = .int(model.trained.network.maxLength)
      }
      return .object(object)
    }
    return Reply(["object": "list", "data": .array(models)])
  }
}
