import Diagnostics
import NN

/// Trains every parameter, or every one but the word embeddings, and with them a decoder that is tied to them.
public struct FullFineTuning: TrainsBase {
  public static let name = "full"
  public static let summary = "Trains every parameter of the model."

  /// Leaves the table of word embeddings as it is; positions, token types and the norm above them train.
  public var freezeEmbeddings = false

  public init() {}

  public static let fields: [Field<Self>] = [
    .value("freeze_embeddings", \.freezeEmbeddings, "leave the word embeddings as they are; position and type embeddings train")
  ]

  public func trains(_ parameter: BaseParameter) -> Bool { !(freezeEmbeddings && parameter.isWordEmbedding) }
}
