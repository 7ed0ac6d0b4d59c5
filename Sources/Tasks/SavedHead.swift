import Checkpoints
import Diagnostics
import Files
import TransformerModels

/// The classification head that a model folder has.
public enum SavedHead: Sendable {
  /// None: a body alone, a model with a head for something else, or a configuration with random weights.
  case none
  /// One that cannot classify texts here; why, as the end of a sentence that begins with "its head".
  case unusable(String)
  /// One for this, with the labels in the order of its outputs.
  case usable(any SequenceTaskType)
}

extension PretrainedModel {
  /// The folder's classification head, as `config.json` and the weights tell. Throws for a `config.json` that contradicts itself.
  public func savedHead() throws -> SavedHead {
    do { return try findHead() } catch let error as EngineError {
      throw EngineError(error.kind, error.message, hint: "correct the file, or take head = \"new\"")
    }
  }

  /// The number of outputs of the head in an adapter's file; nil: it has none.
  public func headOutputs(in file: SafetensorsFile) throws -> Int? {
    let name = try Self.shapes(config, Self.head(labels: 2)).outputLayer + ".weight"
    return file.names.first { $0 == name || $0.hasSuffix("." + name) }.flatMap { file[$0]?.shape.first }
  }

  private func findHead() throws -> SavedHead {
    let model = try Self.shapes(config, Self.head(labels: 2))
    let names = model.headParameters.map(\.name)
    let shapes = try names.map { (name: $0, shape: try savedShape($0)) }
    let missing = shapes.filter { $0.shape == nil }.map(\.name)
    guard missing.count < names.count else { return .none }
    let owners = try config.strings("architectures", default: [])
    if let owner = owners.first, !owners.contains(where: { $0.hasSuffix(ModelCatalogue.sequenceClass) }) {
      return .unusable("is that of a \(owner), which is no classifier of texts")
    }
    if !missing.isEmpty { return .unusable("is incomplete: \(listed(missing)) missing") }
    let output = model.outputLayer + ".weight"
    guard let count = shapes.first(where: { $0.name == output })?.shape?.first, count > 0 else {
      return .unusable("has no outputs in \(output)")
    }
    for (name, tensor) in try Self.shapes(config, Self.head(labels: count)).headParameters {
      guard let shape = shapes.first(where: { $0.name == name })?.shape, shape != tensor.shape else { continue }
      return .unusable("has \(name) of shape \(shape), where the model needs \(tensor.shape)")
    }
    let labels = try config.labels() ?? HuggingFaceConfig.placeholders(count)
    guard labels.count == count else {
      return .unusable("has \(count) outputs, but config.json names \(labels.count) labels: \(labelList(labels))")
    }
    return try savedProblem(labels)
  }

  /// What the head in the folder, or of a configuration with random weights, is for; nil where `config.json` does not say it.
  public func configuredType() throws -> (any SequenceTaskType)? {
    guard let labels = try config.labels(), case .usable(let type) = try savedProblem(labels) else { return nil }
    return type
  }

  private static func head(labels count: Int) -> HeadKind { .sequence(labels: HuggingFaceConfig.placeholders(count)) }

  /// Transformers' rules: one label without a `problem_type` is a score.
  private func savedProblem(_ labels: [String]) throws -> SavedHead {
    let multiLabel = "multi_label_classification"
    let types = TaskTypeCatalogue.sequenceTypes
    let usual = TaskTypeCatalogue.usualSequenceType(labels: labels.count).name
    let word = try config.string("problem_type", among: types.map { $0.name } + [multiLabel], default: usual)
    guard let type = types.first(where: { $0.name == word }) else {
      return .unusable("gives several labels to one text (problem_type \(word))")
    }
    guard type.labelCounts.contains(labels.count) else { return .unusable(type.misfit(labels: labels.count)) }
    return .usable(type.init(labels: labels))
  }
}
