import Diagnostics
import Engine
import Files
import Generation
import Tasks
import Tokenizers
import Training
import TransformerModels

/// A model that requests can name.
///
/// The model thread alone computes with it. What others read does not change: the tokenizer, names, sizes.
final class ServedModel: @unchecked Sendable {
  let name: String
  /// What it was read from.
  let root: String
  let trained: TrainableModel
  let use: Use

  /// What requests can ask it for.
  enum Use {
    case classifying(Predictor)
    case scoring(Predictor)
    case writing
    /// Its head fills masked tokens in, which no endpoint asks for, or nothing has trained it.
    case none
  }

  init(name: String, root: String, _ trained: TrainableModel, maxLength: Int) throws {
    (self.name, self.root, self.trained) = (name, root, trained)
    if trained.hasRandomFrozenHead {
      use = .none
    } else if trained.type is any SequenceTaskType {
      let predictor = try Predictor(trained, maxLength: maxLength)
      use = trained.type is Regression ? .scoring(predictor) : .classifying(predictor)
    } else {
      use = trained.network.layout.layer.isCausal ? .writing : .none
    }
  }

  var tokenizer: Tokenizer { trained.tokenizer }
  var predictor: Predictor? {
    switch use {
    case .classifying(let predictor), .scoring(let predictor): predictor
    case .writing, .none: nil
    }
  }
  var writes: Bool { if case .writing = use { true } else { false } }

  /// For messages and lists.
  var summary: String {
    switch use {
    case .classifying(let predictor): "classifies as \(listed(predictor.labels))"
    case .scoring: "gives a score"
    case .writing: "writes"
    case .none: "gives embeddings alone, as its head was never trained, or fills masked tokens in"
    }
  }
}

/// The models of a server.
struct ServedModels: Sendable {
  let all: [ServedModel]

  /// Reads the models. What stands on one body shares its weights.
  ///
  /// - Parameters:
  ///   - names: folders, as `perigee predict` takes them, or NAME=FOLDER.
  ///   - adapters: folders of adapters, or NAME=FOLDER: each is a model of its own, on the only one of `names`.
  ///   - maxLength: tokens of a text at most, for heads.
  static func load(_ names: [String], adapters: [String], maxLength: Int, seed: Int) throws -> ServedModels {
    guard adapters.isEmpty || names.count == 1 else {
      throw EngineError(
        .argument, "--adapter: \(names.count) models are given, and an adapter belongs to one",
        hint: "give its run or folder as a model: it says which body it stands on")
    }
    let session = Session(asking: seed)
    var models: [ServedModel] = []
    func add(_ name: String, root: String, _ trained: TrainableModel) throws {
      if let other = models.first(where: { $0.name == name }) {
        throw EngineError(.argument, "\(root): its name is '\(name)', as that of \(other.root)", hint: "give it another one: NAME=\(root)")
      }
      models.append(try ServedModel(name: name, root: root, trained, maxLength: maxLength))
    }
    for given in names {
      let (name, root) = Self.named(given)
      try add(name, root: root, session.trainedModel(root, needsHead: false))
      for adapter in adapters {
        let (name, folder) = Self.named(adapter)
        try add(name, root: folder, session.trainedModel(root, adapters: [folder], needsHead: false))
      }
    }
    return ServedModels(all: models)
  }

  /// "NAME=FOLDER" in its parts; a folder alone has the name of its last part.
  private static func named(_ given: String) -> (name: String, folder: String) {
    if let sign = given.firstIndex(of: "="), sign > given.startIndex, !given[..<sign].contains("/"), !fileExists(FilePath.expandHome(given)) {
      return (String(given[..<sign]), String(given[given.index(after: sign)...]))
    }
    let name = FilePath.name(of: given.hasSuffix("/") ? String(given.dropLast()) : given)
    return (name.isEmpty ? given : name, given)
  }

  /// The model that a request names; without a name the only one that can answer it.
  ///
  /// - Parameters:
  ///   - fits: whether a model can answer.
  ///   - need: what it has to do, such as "classifies".
  func model(_ name: String?, that need: String, where fits: (ServedModel) -> Bool) throws(RequestError) -> ServedModel {
    let fitting = all.filter(fits)
    guard let name else {
      if fitting.count == 1 { return fitting[0] }
      throw RequestError(
        .badRequest, fitting.isEmpty ? "no model here \(need)" : "'model' is missing, and \(fitting.count) models could be meant",
        hint: fitting.isEmpty ? "GET /v1/models lists them" : "name one of " + listed(fitting.map(\.name)))
    }
    guard let model = all.first(where: { $0.name == name }) else {
      var error = RequestError(.notFound, "no model '\(shortened(name, limit: 60))'", hint: suggestion(for: name, among: all.map(\.name)))
      error.code = "model_not_found"
      throw error
    }
    guard fits(model) else {
      throw RequestError(
        .badRequest, "the model '\(name)' \(model.summary), and what is asked for needs one that \(need)",
        hint: fitting.isEmpty ? nil : "name one of " + listed(fitting.map(\.name)))
    }
    return model
  }
}
