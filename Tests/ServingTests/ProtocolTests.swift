import Diagnostics
import Files
import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Serving

/// What clients do wrong, and what the server does about it.
@Suite(.engine, .serialized) struct ProtocolTests {
  @Test func mistakesAreNamed() async throws {
    try await TestModels.serve { _, address in
      for (method, path, body, status, words) in [
        ("GET", "/predicted", "", 404, "did you mean /predict?"), ("GET", "/x/y", "", 404, "POST /v1/completions"),
        ("GET", "/predict", "", 405, "takes POST"), ("POST", "/health", "", 405, "takes GET"),
        ("POST", "/predict", #"{"inputs": "a"}"#, 400, "3 models could be meant"),
        ("POST", "/predict", #"{"inputs": "a", "model": "tow"}"#, 404, "did you mean 'two'?"),
        ("POST", "/predict", #"{"inputs": "a", "model": "writer"}"#, 400, "needs one that classifies"),
        ("POST", "/predict", #"{"input": "a"}"#, 400, "use 'inputs'"), ("POST", "/predict", #"{"inputs": 3}"#, 400, "a pair of texts"),
        ("POST", "/predict", #"{"inputs": ["a", "b", "c"], "model": "two"}"#, 400, "several texts are several lists"),
        ("POST", "/predict", #"{"inputs": [["a"], ["b", 4]], "model": "two"}"#, 400, "inputs[2][2]"),
        ("POST", "/predict", #"{"inputs": [], "model": "two"}"#, 400, "a pair of texts"),
        ("POST", "/predict", #"{"inputs": "a", "model": "two", "raw_scores": true}"#, 400, "probabilities"),
        (
          "POST", "/predict", #"{"inputs": "\#(String(repeating: "dog ", count: 60))", "model": "two", "truncate": false}"#, 400,
          "more than 24 tokens"
        ),
        ("POST", "/predict", "{", 400, "POST /predict:1"), ("POST", "/predict", "", 400, "POST /predict"),
        ("POST", "/predict", "[]", 400, "expected an object"),
        ("POST", "/predict", String(repeating: "[", count: 100_000), 400, "nested deeper"),
        ("POST", "/classify", #"{"inputs": "a"}"#, 400, "use 'input'"),
        ("POST", "/v1/decisions", #"{"input": "a", "questions": []}"#, 400, "at least one"),
        ("POST", "/v1/decisions", #"{"input": "a", "questions": [{"type": "choice", "name": "twoo"}]}"#, 404, "did you mean 'two'?"),
        (
          "POST", "/v1/decisions", #"{"input": "a", "questions": [{"type": "choice", "name": "two", "choices": [{"value": "yess"}]}]}"#, 400,
          "did you mean 'yes'?"
        ),
        (
          "POST", "/v1/decisions", #"{"input": "a", "questions": [{"type": "choice", "name": "two", "choices": [{"value": "yes"}]}]}"#, 400,
          "1 of the model's 2"
        ),
        ("POST", "/v1/decisions", #"{"input": "a", "questions": [{"type": "predicate", "name": "three"}]}"#, 400, "two classes"),
        ("POST", "/v1/decisions", #"{"input": "a", "questions": [{"type": "chioce", "name": "two"}]}"#, 400, "did you mean 'choice'?"),
        ("POST", "/v1/completions", #"{"prompt": "a", "max_token": 3}"#, 400, "did you mean 'max_tokens'?"),
        ("POST", "/v1/completions", #"{"prompt": "a", "max_tokens": 300}"#, 400, "set max_tokens to"),
        ("POST", "/v1/completions", #"{"prompt": [1, 99999999]}"#, 400, "has the token 99999999"),
        ("POST", "/v1/completions", #"{"prompt": "a", "model": "two"}"#, 400, "classifies as no, yes"),
        ("POST", "/v1/completions", #"{"prompt": "a", "temperature": -1}"#, 400, "from 0 to 100"),
        ("POST", "/v1/completions", #"{"prompt": "a", "stop": [""]}"#, 400, "in every text"),
        ("POST", "/v1/completions", #"{"prompt": "a", "stream": true, "logprobs": 1}"#, 400, "leave one out"),
        ("POST", "/v1/completions", #"{"prompt": "a", "logit_bias": {"x": 1}}"#, 400, "logit_bias.x"),
        ("POST", "/v1/completions", #"{"prompt": "a", "n": 2000}"#, 400, "from 1 to 128"),
        ("POST", "/v1/chat/completions", #"{"messages": [{"role": "user", "content": "a"}]}"#, 400, "put its chat_template.jinja into gpt"),
        ("POST", "/v1/chat/completions", #"{"messages": [], "chat_template": "x"}"#, 400, "at least one"),
        ("POST", "/v1/chat/completions", #"{"messages": "a", "chat_template": "x"}"#, 400, "'messages' must be a list"),
        ("POST", "/v1/chat/completions", #"{"messages": [{"content": "a"}], "chat_template": "x"}"#, 400, "'messages[0]' must be an object"),
        (
          "POST", "/v1/chat/completions", #"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}], "chat_template": "x"}"#, 400,
          "models here read text alone"
        ),
        ("POST", "/v1/chat/completions", #"{"messages": [{"role": "user"}], "chat_template": "a\n{% x %}"}"#, 400, "line 2 of the template"),
        ("POST", "/v1/chat/completions", #"{"messages": [{"role": "u"}], "chat_template": "{{ raise_exception('no u') }}"}"#, 400, "no u"),
        ("POST", "/v1/chat/completions", #"{"messages": [{"role": "user"}], "tools": []}"#, 400, "calls of functions"),
        ("POST", "/v1/chat/completions", #"{"messages": [{"role": "user"}], "top_logprobs": 2}"#, 400, "needs 'logprobs'"),
        ("POST", "/v1/completions", #"{"messages": []}"#, 400, "/v1/chat/completions"),
      ] {
        let answer = try await ask(address, method, path, body)
        #expect(answer.status == status && answer.message.contains(words), "\(method) \(path) \(body.prefix(80)): \(answer.status) \(answer.body)")
        #expect(answer.json?["error"]?["type"]?.stringValue != nil)
      }
      #expect(try await ask(address, "GET", "/predict").head.contains("Allow: POST"))
      // A null is no value.
      #expect(try await post(address, "/predict", #"{"inputs": "a", "model": "two", "truncate": null}"#).status == 200)
    }
  }

  @Test func requestsComeInOtherFormsToo() async throws {
    try await TestModels.serve { _, address in
      let body = #"{"inputs": "a", "model": "two"}"#
      try await blocking {
        let client = try TestClient(address)
        let length = "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        // Two requests at once, byte by byte, in chunks, and to an absolute address.
        client.send(Array("POST /predict HTTP/1.1\r\n\(length)\r\nPOST /predict HTTP/1.1\r\n\(length)".utf8))
        #expect(client.answer()?.status == 200 && client.answer()?.status == 200)
        for byte in "POST http://x/predict?a=b HTTP/1.1\n\(length)".utf8 { client.send([byte]) }
        #expect(client.answer()?.status == 200)
        let half = body.utf8.count / 2
        let chunks = [String(body.prefix(half)), String(body.dropFirst(half))].map { "\(String($0.utf8.count, radix: 16));x=y\r\n\($0)\r\n" }
        client.send(Array("POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".utf8))
        #expect(client.answer()?.status == 100)
        client.send(Array((chunks.joined() + "0\r\nTrailer: x\r\n\r\n").utf8))
        #expect(client.answer()?.status == 200)
        client.send(Array("HEAD /health HTTP/1.0\r\n\r\n".utf8))
        let head = client.rest()
        #expect(head.hasPrefix("HTTP/1.1 200") && head.hasSuffix("\r\n\r\n") && head.contains("Connection: close"))
      }
    }
  }

  @Test func malformedRequestsGetAnAnswer() async throws {
    try await TestModels.serve { _, address in
      for (text, status) in [
        ("GET\r\n\r\n", 400), ("GET /health HTTP/2.0\r\n\r\n", 400), ("GET health HTTP/1.1\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nno header\r\n\r\n", 400), ("GET /health HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        ("POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST /predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", 400), ("GET /" + String(repeating: "x", count: 40_000), 431),
        ("POST /predict HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
        ("POST /predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", 400),
        ("POST /predict HTT", 400),
      ] {
        let answer = try await blocking {
          let client = try TestClient(address)
          client.send(Array(text.utf8))
          client.endSending()
          return client.rest()
        }
        #expect(Answer(answer)?.status == status, "\(text.prefix(80)): \(answer)")
      }
    }
  }

  @Test func bodiesAreCountedAsTheyCome() async throws {
    try await TestModels.serve({ $0.maxBody = 1 << 14 }) { _, address in
      #expect(try await post(address, "/predict", String(repeating: " ", count: 1 << 14 + 1)).status == 413)
      let chunk = String(repeating: "x", count: 1000)
      let answer = try await blocking {
        let client = try TestClient(address)
        client.send(Array("POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".utf8))
        for _ in 0..<200 { client.send(Array("3e8\r\n\(chunk)\r\n".utf8)) }
        client.endSending()
        return client.rest()
      }
      #expect(Answer(answer)?.status == 413, "\(answer)")
    }
  }

  /// Clients that send slowly, or nothing, keep nobody waiting, and are told when their time is over.
  @Test func slowClientsHurtNobody() async throws {
    var limits = Listener.Limits()
    (limits.idle, limits.head, limits.body) = (0.3, 0.3, 0.3)
    try await TestModels.serve(limits: limits) { server, address in
      let texts = ["", "GET /hea", "POST /predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"]
      let slow = try await blocking {
        try (0..<30).map { i in
          let client = try TestClient(address)
          client.send(Array(texts[i % 3].utf8))
          return client
        }
      }
      #expect(try await post(address, "/predict", #"{"inputs": "a", "model": "two"}"#).status == 200)
      let answers = try await blocking { slow.map { $0.rest() } }
      for (i, answer) in answers.enumerated() { #expect(i % 3 == 0 ? answer.isEmpty : Answer(answer)?.status == 408, "\(i): \(answer)") }
      try await waitWhile { server.connectionCount > 0 }
    }
  }

  @Test func limitsAreToldApart() async throws {
    try await TestModels.serve({ ($0.maxQueue, $0.requestTimeout) = (1, 1) }) { server, address in
      let obstacle = try await Obstacle(server)
      let body = #"{"inputs": "a", "model": "two"}"#
      async let late = post(address, "/predict", body)
      try await waitWhile { server.thread.waitingCount < 1 }
      let full = try await post(address, "/predict", body)
      #expect(full.status == 503 && full.head.contains("Retry-After: 1"))
      #expect(try await late.status == 504)
      // Its time is over, so its place in the queue is free.
      #expect(try await post(address, "/predict", body).status == 504)
      async let last = post(address, "/predict", body)
      obstacle.open()
      #expect(try await last.status == 200)
    }
    var limits = Listener.Limits()
    limits.connections = 1
    try await TestModels.serve(limits: limits) { _, address in
      let first = try await blocking { try TestClient(address) }
      #expect(try await ask(address, "GET", "/health").status == 503)
      _ = first
    }
  }

  @Test func tokensAreCompared() async throws {
    #expect(throws: EngineError.self) {
      var options = ServerOptions()
      options.host = "0.0.0.0"
      try options.check()
    }
    try await TestModels.serve({ ($0.host, $0.token) = ("0.0.0.0", "secret") }) { _, address in
      for (header, status) in [
        ([], 401), (["Authorization: Bearer secre"], 401), (["Authorization: Bearer secrets"], 401), (["Authorization: Bearer "], 401),
        (["Authorization: secret"], 401), (["Authorization: Bearer secret"], 200), (["authorization: bearer secret"], 200),
      ] {
        let answer = try await ask(address, "GET", "/health", headers: header)
        #expect(answer.status == status && (status == 200 || answer.head.contains("WWW-Authenticate: Bearer")), "\(header)")
      }
    }
  }

  /// What is under way is answered, and nothing more is taken.
  @Test func stoppingAnswersWhatWasAsked() async throws {
    let server = try Server(
      try TestModels.make(),
      {
        var options = ServerOptions()
        options.port = 0
        return options
      }())
    let address = try await server.start()
    let idle = try await blocking { try TestClient(address) }
    let obstacle = try await Obstacle(server)
    async let answer = post(address, "/predict", #"{"inputs": "a", "model": "two"}"#)
    try await waitWhile { server.thread.waitingCount < 1 }
    async let end: Void = server.stop()
    #expect(try await blocking { idle.rest() } == "")
    await #expect(throws: (any Error).self) { try await ask(address, "GET", "/health") }
    obstacle.open()
    #expect(try await answer.status == 200)
    await end
  }

  /// Requests that were mangled at random: an answer that blames the client, or the right one, and the server goes on.
  @Test func mangledRequestsAreTheClientsMistake() async throws {
    try await TestModels.serve { server, address in
      let seeds = [
        #"{"inputs": "a dog", "model": "two", "truncate": true}"#, #"{"inputs": [["a"], ["b", "c"]], "model": "three"}"#,
        #"{"input": ["a", "b"], "model": "number"}"#,
        #"{"input": "a", "questions": [{"type": "score", "name": "number"}, {"type": "choice", "name": "two"}]}"#,
        #"{"prompt": "the dog", "max_tokens": 3, "temperature": 0.5, "top_p": 0.5, "n": 2, "stop": ["x"], "echo": true, "logprobs": 2}"#,
        #"{"prompt": [[1, 2], [3]], "max_tokens": 2, "stream": true, "logit_bias": {"5": 2}}"#,
      ]
      let paths = ["/predict", "/predict", "/classify", "/v1/decisions", "/v1/completions", "/v1/completions"]
      let words = ["null", "-1", "1e999", "{}", "[]", "\"\"", "true", "[[[]]]", "99999999999999999999", "\"\\ud800\"", "NaN", ",", "\u{0}", "é"]
      var draws = RandomSource(seed: 11, stream: 0).bits(6000).makeIterator()
      func draw(_ count: Int) -> Int { Int(draws.next() ?? 0) % count }
      for number in 0..<500 {
        var body = Array(seeds[number % 6].utf8)
        for _ in 0...draw(3) where !body.isEmpty {
          let place = draw(body.count)
          switch draw(4) {
          case 0: body[place] = UInt8(draw(256))
          case 1: body.remove(at: place)
          case 2: body.insert(contentsOf: Array(words[draw(words.count)].utf8), at: place)
          default: body.removeSubrange(place..<min(body.count, place + draw(20)))
          }
        }
        var head = Array("POST \(paths[number % 6]) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        if number % 5 == 0 { head[draw(head.count)] = UInt8(draw(256)) }
        let bytes = head + body
        let answer = try await blocking {
          let client = try TestClient(address)
          client.send(bytes)
          client.endSending()
          return client.rest()
        }
        let status = Answer(answer)?.status ?? 0
        #expect(status == 200 || (400..<500).contains(status), "\(String(decoding: bytes, as: UTF8.self)): \(answer)")
        #expect(!answer.contains("server_error"))
      }
      #expect(try await ask(address, "GET", "/health").status == 200)
      try await waitWhile { server.connectionCount > 0 }
    }
  }
}
