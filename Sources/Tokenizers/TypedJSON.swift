import Diagnostics
import Files

// Typed access; a wrong type is an error that names the place.
extension JSONValue {
  func bool(_ key: String, default fallback: Bool, at place: String) throws -> Bool {
    switch self[key] {
    case nil, .null: return fallback
    case .bool(let value): return value
    case let other?: throw mistyped(key, "true or false", other, at: place)
    }
  }

  func optionalString(_ key: String, at place: String) throws -> String? {
    switch self[key] {
    case nil, .null: return nil
    case .string(let value): return value
    case let other?: throw mistyped(key, "a string", other, at: place)
    }
  }

  func string(_ key: String, at place: String) throws -> String {
    if let value = try optionalString(key, at: place) { return value }
    throw EngineError(.data, "\(place): '\(key)' is missing, expected a string")
  }

  func array(_ key: String, at place: String) throws -> [JSONValue] {
    switch self[key] {
    case .array(let values): return values
    case nil: throw EngineError(.data, "\(place): '\(key)' is missing, expected an array")
    case let other?: throw mistyped(key, "an array", other, at: place)
    }
  }

  private func mistyped(
    _ key: String, _ expected: String, _ given: JSONValue, at place: String
  ) -> EngineError {
    EngineError(.data, "\(place): '\(key)' is \(given.kindName), expected \(expected)")
  }
}
