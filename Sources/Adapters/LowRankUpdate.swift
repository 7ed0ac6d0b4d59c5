import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore

/// A linear adapter whose update is a product of two factors, `scaling * B A`: it can be written as
/// a plain LoRA.
public protocol LowRankUpdate: LinearAdapter {
  /// s.
  var scaling: Double { get }
  /// A: [r, in], and B: [out, r], of the equal plain LoRA.
  func loraFactors() throws -> (a: Tensor, b: Tensor)
}

/// Values for some layers. A pattern is a regular expression that matches a layer's path, or the
/// end of it after a dot; the first that matches counts. PEFT's rule.
public struct LayerPattern<Value: Sendable & Equatable>: Sendable, Equatable {
  /// Patterns in the order in which they are tried.
  public let patterns: [String]
  /// The patterns' values.
  public let values: [Value]

  /// Matches no layer.
  public init() { (patterns, values) = ([], []) }

  /// Values for layers with these very paths.
  init(exactly layers: [(path: String, value: Value)]) {
    patterns = layers.map { NSRegularExpression.escapedPattern(for: $0.path) }
    values = layers.map(\.value)
  }

  /// Reads the object under `key`; a missing one matches no layer. Throws `EngineError` for
  /// anything else, with what was `expected`, and for a pattern that is no regular expression.
  init(
    _ config: HuggingFaceConfig, _ key: String, _ expected: String, _ convert: (JSONValue) -> Value?
  ) throws {
    let json = config[key] ?? .object([:])
    let members = json.objectValue.map { Array($0.members) } ?? []
    values = members.compactMap { convert($0.1) }
    patterns = members.map(\.0)
    guard json.objectValue != nil, values.count == patterns.count else {
      throw EngineError(
        .data, "\(config.path): \(key): expected an object of \(expected), given \(json.excerpt())")
    }
    for pattern in patterns where (try? Regex(pattern)) == nil {
      throw EngineError(
        .data, "\(config.path): \(key): '\(pattern)' is not a valid regular expression")
    }
  }

  /// The value for a layer; nil where no pattern matches it.
  public subscript(path: String) -> Value? {
    let place = patterns.firstIndex { pattern in
      guard let regex = try? Regex("(.*\\.)?(\(pattern))") else { return false }
      return (try? regex.wholeMatch(in: path)) != nil
    }
    return place.map { values[$0] }
  }
}
