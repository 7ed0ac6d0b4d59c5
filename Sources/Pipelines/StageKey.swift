import Diagnostics
import Files
import Foundation

/// What a stage's result depends on, as a value, and the digest of that value, which names the
/// result.
public struct StageKey: Sendable, Equatable {
  /// The stage's name in the script. Part of the key.
  public let name: String
  /// Everything that determines the result: parameters, digests of models and data, keys of the
  /// stages before, the engine's version.
  public let inputs: JSONValue
  public let digest: Digest

  public init(name: String, inputs: JSONValue) {
    self.name = name
    self.inputs = inputs
    digest = Digest(of: ["name": .string(name), "inputs": inputs] as JSONValue)
  }

  public static func == (a: StageKey, b: StageKey) -> Bool { a.digest == b.digest }
}

/// The finished result of a stage: a folder whose files were verified.
public struct StoredStage: Sendable {
  public let key: StageKey
  /// Holds the files that the stage saved. Read-only for everybody.
  public let folder: String
  /// What the stage said about itself when it finished (metrics, seconds, ...).
  public let facts: JSONObject
}
