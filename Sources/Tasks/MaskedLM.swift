import Datasets
import Diagnostics
import TensorCore
import TransformerModels

/// Masked language modelling: some tokens are hidden, and the model names them. The loss is cross-entropy over these.
///
/// Of the chosen tokens 80 % become the mask token, 10 % a random one, 10 % stay. The choice is drawn anew in every
/// epoch; special tokens are never chosen. Paper: Devlin et al. 2019, arXiv 1810.04805, section 3.1.
///
/// logits: [chosen, V]; labels: int32 [chosen], the tokens that were there.
public struct MaskedLM: LanguageTaskType {
  public static let name = "masked_lm"
  public static let ownArguments = ["mlm_probability"]
  public static let altersTokens = true
  public static let kind = LanguageKind.masked
  public static let modelSummary =
    "A masked language model; every parameter trains, or none until an adapter says so where weights are in 4 bits."
  public static let dataSummary = "Masked language modelling of a text file."

  public init() {}

  public static func read(_ options: MaskedLMData) throws -> TaskDefinition {
    try TextTask(train: options.trainFile, validation: options.validationFile, columns: .lines(hasPairs: true))
      .read(name: name, metrics: ["accuracy"])
  }

  public var summary: String { "masked tokens" }

  public func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    guard let mask = preparation.tokenizer.maskTokenId else {
      throw EngineError(.data, "masked language modelling: the tokenizer has no mask token")
    }
    let special = data.specialTokens(batch.examples)
    let draws = preparation.draw.bits(2 * batch.ids.count)
    let scale = Double(UInt32.max) + 1
    var (rows, labels): ([Int32], [Int32]) = ([], [])
    func choose(_ i: Int) {
      rows.append(Int32(i))
      labels.append(batch.ids[i])
    }
    for i in batch.ids.indices where !special[i] {
      guard Double(draws[2 * i]) / scale < preparation.mlmProbability else { continue }
      choose(i)
      let action = Double(draws[2 * i + 1]) / scale
      if action < 0.8 {
        batch.ids[i] = mask
      } else if action < 0.9 {
        batch.ids[i] = Int32((action - 0.8) / 0.1 * Double(preparation.tokenizer.vocabularySize))
      }
    }
    // A batch without a single chosen token would have no loss.
    if rows.isEmpty, let first = special.firstIndex(of: false) {
      choose(first)
      batch.ids[first] = mask
    }
    batch.rows = .some(rows)
    batch.labels = try Tensor(labels, [labels.count])
  }
}

/// Options of `tasks.masked_lm`.
public struct MaskedLMData: Record {
  public var trainFile = ""
  public var validationFile: String?

  public init() {}

  public static let recordName = "masked_lm options"
  public static let fields: [Field<Self>] = [
    .value("train_file", \.trainFile, "text, one example a line; a tab separates the two texts of a pair; or \"builtin:corpus\"", required: true),
    .value("validation_file", \.validationFile, "text to evaluate on, in the same form"),
  ]
}
