import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// A transformer with a head: any family's, built from its layout. Adapters attach to the model itself what their layers share.
public final class TransformerModel: AdapterHost {
  public let architecture: any ModelFamily.Type
  /// The content of `config.json`, with the head's labels.
  public private(set) var config: HuggingFaceConfig
  public private(set) var head: HeadKind
  /// The content of `generation_config.json` beside it, if there is one.
  public var generationConfig: HuggingFaceConfig?
  /// What the model has in front of its body, if that is a decoder which reads what an encoder made of other tokens.
  public let encoderLayout: EncoderLayout?
  /// Training mode, seed and step of the forward passes.
  public let context = ForwardContext()
  private let encoder: Stack?
  private let body: Stack
  private let scores: any ModelHead
  private let modules: [(name: String, module: Module)]

  /// Throws `EngineError` for a configuration that the family does not support, and for tensors of another shape.
  public init(_ config: HuggingFaceConfig, _ head: HeadKind, _ builder: ParameterBuilder) throws {
    architecture = try ModelCatalogue.architecture(of: config)
    (self.config, self.head) = (config, head)
    let layout = try architecture.encoder(config)
    let path = architecture.bodyPath(head)
    let below = builder.scope(path)
    let words = try layout.map { layout in
      let stack = layout.stack
      return try Embedding(
        below.scope(layout.words), rows: stack.embeddings.vocabulary, stack.layer.size, std: stack.embeddings.std ?? stack.layer.std)
    }
    let encoder = try layout.map { try Stack(below, $0.stack, words: words) }
    body = try Stack(below, architecture.body(config), words: words)
    scores = try architecture.head(head, on: body, config, builder)
    let shared = words.map { [(path: layout?.words ?? "", module: $0 as Module)] } ?? []
    let stacks = (shared + (encoder?.parts ?? []) + body.parts).map { (path: path.isEmpty ? $0.path : path + "." + $0.path, module: $0.module) }
    modules = Group.nested(stacks + scores.parts)
    (self.encoder, encoderLayout) = (encoder, layout)
  }

  public override var parts: [(name: String, module: Module)] { modules }

  /// What the body is made of.
  public var layout: StackLayout { body.layout }

  /// Scores for the batch: [sequences, labels] of a sequence head, [rows, V] of a language head. In a model with an encoder, rows are
  /// the decoder's.
  public func logits(_ batch: Batch, rows: RowChoice) throws -> Tensor { try scores(states(batch, rows), context) }

  /// Mean cross-entropy of those scores against the batch's labels, class indices: see `Tensor.crossEntropy`. Where the head is frozen,
  /// its scores are never in memory all at once.
  public func crossEntropy(_ batch: Batch, _ labels: [Int32], labelSmoothing: Double, divisor: Double?) throws -> Tensor {
    try scores.crossEntropy(states(batch, batch.rows), labels, labelSmoothing: labelSmoothing, divisor: divisor, context)
  }

  /// What the head reads of a batch.
  private func states(_ batch: Batch, _ rows: RowChoice) throws -> Tensor {
    let rows = try scores.rows(rows, of: batch)
    guard let encoder, let layout = encoderLayout else { return try states(batch, rows, over: nil) }
    return try states(batch.decoderInput(startingWith: layout.startToken), rows, over: encoder.encode(batch, context))
  }

  private func states(_ batch: Batch, _ rows: RowChoice, over encoded: EncoderStates?) throws -> Tensor {
    try body(batch, scores.reads, rows: rows, over: encoded, context).to(.float32)
  }

  /// Scores for tokens of the body, the decoder where there is an encoder, which has read its own already.
  ///
  /// `encoded`: what it made of them, for each of the batch's sequences; several may share the states of one input.
  public func logits(_ batch: Batch, rows: RowChoice, over encoded: EncoderStates?) throws -> Tensor {
    try scores(states(batch, rows, over: encoded), context)
  }

  /// What the encoder makes of the batch's tokens, computed once for all that a decoder says about them; nil: there is no encoder.
  public func encode(_ batch: Batch) throws -> EncoderStates? { try encoder?.encode(batch, context) }

  /// State-dict names of the modules of the head, which a new task replaces and adapters leave trainable; none where the head
  /// belongs to the body.
  public var headModules: [String] { scores.path.map { [$0] } ?? [] }

  /// The parameters of the head.
  public var headParameters: [(name: String, tensor: Tensor)] {
    namedParameters().filter { entry in headModules.contains { entry.name.hasPrefix($0 + ".") } }
  }

  /// Values of a checkpoint that never train and are no parameters, with their state-dict names.
  var buffers: [(name: String, tensor: Tensor)] { scores.buffers }

  /// Path of the layer whose outputs are the scores.
  public var outputLayer: String { scores.parts.last { ($0.module as? Linear)?.role == .head }?.path ?? "" }

  /// Whether the scores come from the table of word embeddings.
  var isTied: Bool { scores.parts.contains { ($0.module as? Linear)?.isTied == true } }

  /// The longest sequence that the model takes, in tokens; of encoder and decoder, what both take.
  public var maxLength: Int { min(maxInputLength, maxBodyLength) }

  /// The longest sequence that an encoder takes, or the body where there is none.
  public var maxInputLength: Int { (encoder ?? body).maxLength }

  /// The longest sequence that the body takes: a decoder's, where there is an encoder.
  public var maxBodyLength: Int { body.maxLength }

  /// Positions that adapters take in front of a sequence's tokens in the body: keys of prefixes, rows of prompts.
  public var virtualTokens: (prefix: Int, prompt: Int) { body.virtualTokens }

  /// Names of the labels in the order of the head's outputs; one for regression, none for a language head.
  public var labels: [String] { head.labels }

  /// Number of labels; 1 for regression, 0 for a language head.
  public var numLabels: Int { labels.count }

  /// Scores in one row of the logits.
  public func outputCount() throws -> Int { head.isSequence ? numLabels : body.words.weight.rows }

  /// Scores in evaluation mode and without gradients.
  public func predict(_ batch: Batch, rows: RowChoice = .all) throws -> Tensor { try evaluating { try logits(batch, rows: rows) } }

  /// Layers of what `hiddenStates` gives the states of.
  public var layerCount: Int { (encoder ?? body).layout.layers.count }

  /// The states of tokens in evaluation mode and without gradients, float32: [rows, C]; of a model with an encoder, those of what it reads.
  ///
  /// - Parameter depth: the state after so many layers, in 0...layerCount: 0 is the embeddings; the norm above the last layer counts to it.
  public func hiddenStates(_ batch: Batch, depth: Int, rows: RowChoice = .all) throws -> Tensor {
    try evaluating { try (encoder ?? body).states(batch, depth: depth, rows: rows, context).to(.float32) }
  }

  /// Computes with the model in evaluation mode and without gradients.
  public func evaluating<Result>(_ compute: () throws -> Result) throws -> Result {
    let wasTraining = context.isTraining
    context.isTraining = false
    defer { context.isTraining = wasTraining }
    return try Autograd.noGrad {
      context.begin()
      return try compute()
    }
  }

  /// Gives the labels other names. Throws where their number is another.
  public func rename(labels: [String]) throws {
    guard head.isSequence, numLabels == labels.count else {
      throw EngineError(.argument, "\(labels.count) names for \(numLabels) labels")
    }
    if let twice = labels.indices.first(where: { labels[..<$0].contains(labels[$0]) }) {
      throw EngineError(.argument, "two labels have the name '\(labels[twice])'")
    }
    head = .sequence(labels: labels)
    config = config.setting(head)
  }

  /// Lets all adapters take part, or none. What is merged comes out of the weights first, unless nothing changes. Throws
  /// where it cannot, and changes nothing then.
  public func setAdapters(enabled: Bool) throws {
    let hosts = namedModules().compactMap { $0.module as? AdapterHost }.filter { $0.adaptersEnabled != enabled }
    for host in hosts { try host.willChangeAdapters() }
    for host in hosts { try host.setAdaptersEnabled(enabled) }
  }
}
