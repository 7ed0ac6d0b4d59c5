import Files

/// With what a stage trains, as TensorBoard shows it: texts as Transformers writes them, and the values in the tab HPARAMS, whose messages
/// are those of `tensorboard/plugins/hparams/plugin_data.proto`.
public struct TrainingSettings: Sendable {
  /// The training arguments.
  public var arguments = JSONObject()
  /// The model's `config.json`, if there is one.
  public var modelConfig: JSONValue?
  /// The script's parameters, and the options of adapters.
  public var others = JSONObject()

  public init() {}

  static let tagPrefix = "_hparams_/"
  static let startTag = tagPrefix + "session_start_info"
  static let endTag = tagPrefix + "session_end_info"

  /// What Transformers' callback adds as texts.
  var texts: [(tag: String, text: String)] {
    [("args", JSONValue.object(arguments).encoded(.indented))] + (modelConfig.map { [("model_config", $0.encoded(.indented))] } ?? [])
  }

  /// One value for each name; an argument of the training comes before a parameter of the same name.
  var values: JSONObject {
    var values = others
    for (name, value) in arguments.members { values[name] = value }
    return values
  }

  /// The start of what TensorBoard calls a session.
  func start(at time: Double) -> EventFile.Event {
    let entries = values.members.compactMap { name, value in
      Self.message(of: value).map { EventFile.field(1, EventFile.field(1, Array(name.utf8)) + EventFile.field(2, $0)) }
    }
    let session = entries.flatMap(\.self) + EventFile.key(5, 1) + EventFile.fixed(time.bitPattern)
    return .settings(tag: Self.startTag, EventFile.field(3, session))
  }

  /// Its end, with success.
  static func end(at time: Double) -> EventFile.Event {
    .settings(tag: endTag, EventFile.field(4, EventFile.key(1, 0) + EventFile.varint(1) + EventFile.key(2, 1) + EventFile.fixed(time.bitPattern)))
  }

  /// A `google.protobuf.Value`: numbers, texts, true and false are what the plugin takes; a list is its text.
  private static func message(of value: JSONValue) -> [UInt8]? {
    switch value {
    case .null, .object([:]): nil
    case .bool(let flag): EventFile.key(4, 0) + EventFile.varint(flag ? 1 : 0)
    case .int(let number): EventFile.key(2, 1) + EventFile.fixed(Double(number).bitPattern)
    case .double(let number): EventFile.key(2, 1) + EventFile.fixed(number.bitPattern)
    case .string(let text): EventFile.field(3, Array(text.utf8))
    case .array, .object: EventFile.field(3, Array(value.word.utf8))
    }
  }
}
