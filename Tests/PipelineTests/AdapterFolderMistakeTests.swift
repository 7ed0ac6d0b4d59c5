import Files
import TestSupport
import Testing

/// `perigee.json` of an adapter's folder says exactly what it is written with, or nothing is loaded.
@Suite(.engine) struct AdapterFolderMistakeTests {
  private static let digest = String(repeating: "0a", count: 16)

  /// A key, what takes the place of its value (nil: the key goes), and what the error says after the path.
  private static let mistakes: [(key: String, value: JSONValue?, message: String)] = {
    var rows: [(String, JSONValue?, String)] = [
      ("base_model", nil, "missing field 'base_model'"), ("base_digest", nil, "missing field 'base_digest'"),
      ("stages", nil, "missing field 'stages'"),
      ("base_modle", "x", "unknown field 'base_modle'; did you mean 'base_model'?"),
      ("labls", ["a", "b"], "unknown field 'labls'; did you mean 'labels'?"),
      ("base_digest", "0a0a", "'base_digest' must be a digest of 32 hexadecimal digits, got '0a0a'"),
      ("base_digest", .string(digest.uppercased()), "'base_digest' must be a digest of 32 hexadecimal digits"),
      ("labels", ["no", "no"], "'labels' has 'no' twice"), ("labels", [], "'labels' is empty, expected at least one"),
      ("labels", ["no", 1], "'labels[2]' must be a string, got 1"), ("upstream", [], "'upstream' is empty, expected at least one"),
      ("upstream", [["adapter_name": "a"]], "'upstream[1]': upstream: missing field 'digest'"),
      ("upstream", [["adapter_name": "a", "digest": 1]], "'upstream[1]': upstream: 'digest' must be a string, got 1"),
      ("upstream", [["adapter_name": "a", "digest": .string(digest), "x": 1]], "'upstream[1]': upstream: unknown field 'x'"),
      ("initialised", ["x": 1], "'initialised.x' must be a string, got 1"), ("initialised", ["x": "1"], "'initialised.x' must be a digest"),
      ("initialised", .object([:]), "'initialised' is empty, expected at least one"), ("initialised", ["x"], "'initialised' must be a table"),
      ("initialised", .null, "'initialised' must be a table"), ("upstream", ["a"], "'upstream[1]'"),
      ("adapter", ["variant": "plain"], "'adapter' must be an object with the name of a method"),
      ("adapter", ["method": "lora_fa"], "'adapter': missing field 'variant'"),
      ("adapter", ["method": "lora_fa", "variant": "plane"], "'variant' must be one of 'plain', 'projected', got 'plane'"),
      ("adapter", ["method": "lora_fa", "variant": "plain", "r": 2], "'adapter': unknown field 'r'"),
      ("adapter", ["method": "lora_af", "variant": "plain"], "'adapter': no method 'lora_af' has peft_type 'LORA'; did you mean 'lora_fa'?"),
    ]
    let words = [
      "base_model": "a string", "base_digest": "a string", "stages": "a list of strings", "labels": "a list of strings", "upstream": "a list of",
      "adapter": "an object with the name of a method",
    ]
    for (key, word) in words.sorted(by: { $0.key < $1.key }) {
      let wrong: [JSONValue] = [.null, true, 7, 0.5, "x", [], .object([:]), [1], [[]], ["a": 1]].filter { value in
        switch value {
        case .string: word != "a string"
        // Three of them are there together, and null is like none.
        case .null: !["base_model", "base_digest", "stages"].contains(key)
        case .array: value != [] || !["stages", "labels", "upstream"].contains(key)
        default: true
        }
      }
      for value in wrong {
        rows.append((key, value, value.arrayValue == nil || word == "a string" || key == "adapter" ? "'\(key)' must be \(word)" : "'\(key)"))
      }
      if ["base_model", "base_digest", "stages"].contains(key) { rows.append((key, .null, "missing field '\(key)'")) }
    }
    return rows
  }()

  @Test func mistakesAreNamed() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let prepared = TinyTask.script(folder, "") + "local function fresh() return base:classifier { task = task } end\n"
      _ = try host.printed(
        prepared + """
          local model = fresh()
          model:add_adapter(adapters.lora { adapter_name = 'below' })
          model:add_adapter(adapters.lora_fa { adapter_name = 'a' })
          model:save_adapter('below', { adapter_name = 'below' })
          model:save_adapter('a', { adapter_name = 'a' })
          """)
      let load =
        prepared + """
          local model = fresh()
          model:load_adapter('below', { adapter_name = 'below' })
          model:load_adapter('a', { adapter_name = 'a' })

          """
      let path = host.runFolder + "/a/perigee.json"
      let written = try #require(JSONValue(file: path).objectValue)
      #expect(Set(written.keys) == ["base_model", "base_digest", "stages", "upstream", "labels", "adapter"])
      #expect(try host.failure(load) == nil)
      for row in Self.mistakes {
        var changed = written
        changed[row.key] = row.value
        try AtomicFile.write(.object(changed), to: path)
        let error = try host.failure(load)
        #expect(error?.contains("\(path): \(row.message)") == true, "\(row.key) = \(row.value?.excerpt() ?? "gone"): \(error ?? "loaded")")
      }
      for text in ["", "{}", "[]", "null", "{\"base_model\": \"x\"", "\u{0}"] {
        try AtomicFile.write(text, to: path)
        let error = try host.failure(load)
        #expect(error?.contains(path) == true, "\(text): \(error ?? "loaded")")
      }
    }
  }
}
