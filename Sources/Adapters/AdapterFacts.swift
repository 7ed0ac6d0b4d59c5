import Diagnostics
import Files
import NN

/// `perigee.json` of an adapter's folder: what PEFT's files have no words for. A file of its own, because PEFT answers an
/// unknown key in its configuration with the advice to upgrade. It is read strictly: see `Record.init(jsonFile:)`.
public struct AdapterFacts: Record, Equatable, Sendable {
  /// The model that the adapter belongs to, the digest of the weights that it was trained on, and the stages that led to it:
  /// all of them or none.
  public var baseModel: String?
  public var baseDigest: String?
  public var stages: [String]?
  /// How the model's weights were held, where that was in 4 bits.
  public var baseQuantization: BitsAndBytesConfig?
  /// The adapters that it was trained on top of.
  public var upstream: [Upstream] = []
  /// Names of the labels, in the order of the head's outputs.
  public var labels: [String] = []
  /// Digests of parameters that the model's weights lack and the folder does not hold, by name: they began with random values.
  public var initialised: [String: String] = [:]
  /// The method's name and own options, where PEFT's configuration does not say them.
  var adapter = MethodOptions()

  /// An adapter below another one: its name, and the digest of its content.
  public struct Upstream: Record, Equatable, Sendable {
    public var adapterName = ""
    public var digest = ""

    public static let recordName = "upstream"
    public static let fields: [Field<Self>] = [
      .value("adapter_name", \.adapterName, "what it was called in the model", required: true),
      .value("digest", \.digest, "digest of its parameters", required: true),
    ]

    public init() {}

    public init(adapterName: String, digest: String) { (self.adapterName, self.digest) = (adapterName, digest) }

    public func validate() throws(EngineError) { try requireDigest(digest, "digest") }
  }

  /// An object with the method's name and any options: the method says which.
  struct MethodOptions: FieldValue, Equatable, Sendable {
    var values = JSONObject()

    static var typeName: String { "object" }
    static var expected: String { "an object with the name of a method" }
    var configValue: ConfigValue { JSONValue.object(values).configValue }

    static func decode(_ value: ConfigValue) throws(ValueMismatch) -> MethodOptions {
      guard case .table(let table) = value, table.form == .fields, case .text = table.fields["method"], let values = value.json.objectValue
      else { throw ValueMismatch(expected: expected, found: value.briefly) }
      return MethodOptions(values: values)
    }

    /// The method's name; nil where PEFT's type says it.
    var method: String? { values["method"]?.stringValue }
    /// The options alone.
    var options: JSONObject { JSONObject(values.members.filter { $0.0 != "method" }) }
  }

  public static let recordName = "adapter facts"
  public static let fields: [Field<Self>] = [
    .value("base_model", \.baseModel, "name or path of the base model"),
    .value("base_digest", \.baseDigest, "digest of the weights that it was trained on"),
    .value("stages", \.stages, "names of the stages that led to it"),
    .value("base_quantization", \.baseQuantization, "how the model's weights were held in 4 bits"),
    .value("upstream", \.upstream, "the adapters that it was trained on top of"),
    .value("labels", \.labels, "names of the labels, in the order of the head's outputs"),
    .value("initialised", \.initialised, "digests of parameters of the body that began with random values, by name"),
    .value("adapter", \.adapter, "the method and its own options, where PEFT's configuration does not say them"),
  ]

  public init() {}

  public func validate() throws(EngineError) {
    let lineage = [("base_model", baseModel != nil), ("base_digest", baseDigest != nil), ("stages", stages != nil)]
    if let missing = lineage.first(where: { !$0.1 }), lineage.contains(where: \.1) || adapter.values.isEmpty {
      throw EngineError(.data, "missing field '\(missing.0)'")
    }
    if let baseDigest { try requireDigest(baseDigest, "base_digest") }
    for (name, digest) in initialised { try requireDigest(digest, "initialised.\(name)") }
    if let twice = labels.indices.first(where: { labels[..<$0].contains(labels[$0]) }) {
      throw EngineError(.data, "'labels' has '\(labels[twice])' twice")
    }
  }

  /// The facts of a folder; none where it has no such file. Throws `EngineError` naming file and key.
  public init(folder: String) throws {
    let path = folder + "/" + AdapterFolder.facts
    guard fileExists(path) else {
      self.init()
      return
    }
    let json = try JSONValue(file: path)
    // What has no elements is left out when it is written.
    let empty: [(String, JSONValue)] = [("upstream", []), ("labels", []), ("initialised", .object([:]))]
    if let (key, _) = empty.first(where: { json[$0] == $1 }) { throw EngineError(.data, "\(path): '\(key)' is empty, expected at least one") }
    try self.init(json: json, source: path)
  }

  /// What is written: fields that say something.
  var written: JSONObject {
    JSONObject(json.members.filter { key, value in key == "stages" || ![[], .object([:])].contains(value) })
  }
}

private func requireDigest(_ text: String, _ field: String) throws(EngineError) {
  let isDigest = text.utf8.count == 32 && text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
  guard isDigest else { throw EngineError(.data, "'\(field)' must be a digest of 32 hexadecimal digits, got '\(text.prefix(40))'") }
}
