import Diagnostics
import Files

/// A component that `tokenizer.json` can name: its `type`, and how it is made from its settings.
struct ComponentType<Component>: Sendable {
  let name: String
  /// From the settings, and the place to name in errors.
  let make: @Sendable (JSONValue, String) throws -> Component

  init(_ name: String, make: @escaping @Sendable (JSONValue, String) throws -> Component) {
    self.name = name
    self.make = make
  }
}

/// Makes the component that `json["type"]` names; an unknown one is an error that lists the known.
func component<Component>(
  _ json: JSONValue, among types: [ComponentType<Component>], _ stage: String, at place: String
) throws -> Component {
  let name = try json.string("type", at: "\(place): \(stage)")
  guard let type = types.first(where: { $0.name == name }) else {
    throw EngineError(
      .data, "\(place): \(stage) '\(name)' is not supported",
      hint: "expected one of " + types.map(\.name).joined(separator: ", "))
  }
  return try type.make(json, "\(place): \(stage) \(name)")
}
