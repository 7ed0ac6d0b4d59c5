import Adapters
import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore
import Training

/// llama.cpp's files: an adapter's factors for `--lora`, or a whole model in float16.
enum GGUFExport: ExportTarget {
  static let name = "gguf"
  static let summary = "adapter.gguf for llama.cpp's --lora; or model.gguf in float16, with --merge or where there is no adapter"
  static let holdsAdapters = true

  static func write(_ model: TrainableModel, adapter: AttachedAdapter?, to folder: String) throws -> String {
    let architecture = try GGUFArchitecture(model.network)
    return try adapter.map { try write($0, of: model, architecture, to: folder) } ?? write(model, architecture, to: folder)
  }

  // MARK: An adapter

  private static func write(_ adapter: AttachedAdapter, of model: TrainableModel, _ architecture: GGUFArchitecture, to folder: String) throws
    -> String
  {
    func refused(_ what: String) -> EngineError {
      EngineError(.argument, "gguf: \(what), which llama.cpp's adapters cannot hold", hint: "write the whole model: --to gguf --merge")
    }
    try model.requireBody(of: adapter, folder)
    if let saved = adapter.modelParameters.first { throw refused("'\(saved.name)' was trained beside the factors") }
    let updates: [(path: String, linear: Linear, update: any LowRankUpdate)]
    do { updates = try adapter.lowRankUpdates(folder) } catch let error as EngineError {
      throw refused("method '\(adapter.method.name)' is no plain LoRA (\(error.message))")
    }
    let layers = try updates.map { path, linear, update in
      guard linear.role != .head else { throw refused("'\(path)' is adapted, which gives the scores") }
      let (a, b) = try update.exportFactors()
      return (path: path, a: a, b: b, alpha: update.scaling * Double(b.columns))
    }
    // One alpha serves all layers: B takes what is different.
    let alpha = layers[0].alpha
    let tensors = try layers.flatMap { path, a, b, own in
      let name = try architecture.tensorName(of: path + ".weight")
      let scaled = own == alpha ? b : try Autograd.noGrad { try b.mul(own / alpha) }
      return [
        tensor(name + ".lora_a", a), tensor(name + ".lora_b", try architecture.turned(scaled, parameter: path + ".weight")),
      ]
    }
    let facts: [(key: String, value: GGUFValue)] = [
      ("general.type", .string("adapter")), ("general.architecture", .string(architecture.name)), ("general.file_type", .uint32(0)),
      ("adapter.type", .string("lora")), ("adapter.lora.alpha", .float32(Float(alpha))),
    ]
    let path = folder + "/adapter.gguf"
    try AtomicFolder.write(to: folder) { try GGUFFile.write(facts, tensors, to: $0 + "/adapter.gguf") }
    return "\(path): LoRA of \(layers.count) matrices for llama.cpp's \(architecture.name)\nllama-cli -m MODEL.gguf --lora \(path)"
  }

  // MARK: A model

  private static func write(_ model: TrainableModel, _ architecture: GGUFArchitecture, to folder: String) throws -> String {
    let network = model.network
    let (numbers, ropeFactors) = try architecture.facts()
    let vocabulary = network.layout.embeddings.vocabulary
    var tensors = try network.plainParameters().map { name, value in
      let target = try architecture.tensorName(of: name)
      let turned = try architecture.turned(value, parameter: name)
      // Vectors, and what is added to the words, stay exact, as llama.cpp's converter has it.
      return value.rank < 2 || target == "position_embd.weight" ? tensor(target, turned) : half(target, turned)
    }
    if let ropeFactors { tensors.append(try tensor("rope_freqs.weight", Tensor(ropeFactors, [ropeFactors.count]))) }
    let facts: [(key: String, value: GGUFValue)] =
      [
        ("general.type", .string("model")), ("general.architecture", .string(architecture.name)),
        ("general.name", .string(FilePath.name(of: model.base.name))), ("general.file_type", .uint32(1)),
        ("general.quantization_version", .uint32(2)),
      ] + numbers + (try GGUFTokenizer(model.tokenizer, vocabulary: vocabulary).facts)
    let path = folder + "/model.gguf"
    try AtomicFolder.write(to: folder) { try GGUFFile.write(facts, tensors, to: $0 + "/model.gguf") }
    return
      "\(path): llama.cpp's \(architecture.name), \(network.plainParameters().reduce(0) { $0 + $1.tensor.count }) parameters in float16\nllama-cli -m \(path)"
  }

  private static func tensor(_ name: String, _ value: Tensor) -> TensorToSave {
    TensorToSave(name, dtype: .float32, shape: value.shape) { body in
      guard value.firstNonFinite == nil else { throw EngineError(.notFinite, "gguf: '\(name)' has a value that is not finite") }
      defer { value.storage.giveBack() }
      try body(UnsafeRawBufferPointer(start: value.pointer, count: value.count * value.dtype.size))
    }
  }

  private static func half(_ name: String, _ value: Tensor) -> TensorToSave {
    TensorToSave(name, dtype: .float16, shape: value.shape) { body in
      let halves = value.floats.map { Float16($0) }
      value.storage.giveBack()
      guard halves.allSatisfy(\.isFinite) else {
        throw EngineError(.notFinite, "gguf: '\(name)' has a value beyond float16, or none that is finite", hint: "take --to merged")
      }
      try halves.withUnsafeBytes { try body($0) }
    }
  }
}
