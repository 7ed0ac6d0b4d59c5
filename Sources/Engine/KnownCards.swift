import Adapters
import Files
import TensorCore
import Training

/// The model cards of models that a stage trained, as long as what it trained is as it left it.
final class KnownCards {
  private struct Entry {
    weak var model: TrainableModel?
    let card: ModelCard
    /// Where the values of what trained are, and how often that was written.
    let trained: [String: Place]
  }

  private struct Place: Equatable {
    let storage: ObjectIdentifier
    let version: Int

    init(_ tensor: Tensor) { (storage, version) = (ObjectIdentifier(tensor.storage), tensor.storage.version) }
  }

  private var entries: [Entry] = []

  func remember(_ card: ModelCard, of model: TrainableModel) {
    entries.removeAll { $0.model == nil || $0.model === model }
    entries.append(Entry(model: model, card: card, trained: Self.places(model.changedParameters)))
  }

  /// The card of an adapter, or of the whole model; nil where nothing is known of how it came to be as it is.
  func card(of model: TrainableModel, _ adapter: AttachedAdapter?) -> ModelCard? {
    guard let entry = entries.first(where: { $0.model === model }) else { return nil }
    let now = Self.places(model.network.namedParameters() + model.adapters.flatMap(\.changedParameters))
    guard entry.trained.allSatisfy({ now[$0] == $1 }) else { return nil }
    if let adapter, !adapter.modelParameters.contains(where: { entry.trained[$0.name] != nil }) { return nil }
    return entry.card
  }

  private static func places(_ parameters: [(name: String, tensor: Tensor)]) -> [String: Place] {
    Dictionary(parameters.map { ($0.name, Place($0.tensor)) }, uniquingKeysWith: { first, _ in first })
  }
}

extension Session {
  /// Writes a folder of a model's, or of an adapter's, with its card where it is known what was learnt: into the run directory, as `write`
  /// does. What a user wrote into a `README.md` there stays.
  package func save(_ model: TrainableModel, _ adapter: AttachedAdapter?, to folder: String) throws {
    try model.requireResult("save")
    try write(to: folder) { place in
      let path = place + "/" + ModelCard.fileName
      let old = fileExists(path) ? try readText(path) : nil
      if let adapter { try model.save(adapter, to: place) } else { try model.saveModel(to: place) }
      let card = try cards.card(of: model, adapter)?.text(of: place, isAdapter: adapter != nil)
      if let text = card.map({ ModelCard.keeping(old, in: $0) }) ?? old { try AtomicFile.write(text, to: path) }
    }
  }
}
