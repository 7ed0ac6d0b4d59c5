import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

extension TransformerModel {
  /// Writes a model folder that Transformers loads: `config.json` with the head's class and labels,
  /// the base's `generation_config.json`, and `model.safetensors` in float32. The tokenizer's files are the caller's to add.
  ///
  /// Merged adapters are part of the weights. The folder is written whole or not at all, and read
  /// back before it takes the place of an older one.
  ///
  /// - Throws: `EngineError` for adapters that are attached and not merged, which a model folder
  ///   cannot hold, for values that are not finite, and for a folder that cannot be written.
  public func save(to folder: String) throws {
    for (path, module) in namedModules() {
      guard let host = module as? AdapterHost else { continue }
      let merged = (host as? Linear)?.merged ?? []
      if let adapter = host.adapters.first(where: { !merged.contains($0.name) && !($0.adapter is SharedParameters) }) {
        throw EngineError(
          .argument,
          "\(folder): adapter '\(adapter.name)' of '\(path)' is not merged, a model folder cannot hold it",
          hint: "merge it first, or save the adapter")
      }
    }
    let state = try turned(plainParameters() + buffers)
    for (name, tensor) in state {
      if let bad = tensor.firstNonFinite {
        throw EngineError(
          .notFinite, "\(folder): '\(name)' has a value that is not finite at index \(bad)")
      }
      tensor.storage.giveBack()
    }
    let config = JSONValue.object(transformersConfig())
    try AtomicFolder.write(to: folder) { temporary in
      try AtomicFile.write(config, to: temporary + "/config.json")
      guard try JSONValue(file: temporary + "/config.json") == config else {
        throw EngineError(
          .file, "\(folder): config.json does not read back as it was written",
          hint: "check the disk")
      }
      if let generationConfig { try AtomicFile.write(.object(generationConfig.values), to: temporary + "/" + PretrainedModel.generationConfigFile) }
      try SafetensorsFile.write(tensors: state, to: temporary + "/model.safetensors")
    }
  }

  /// The parameters in a folder that `save` wrote, as the model has them.
  public func savedParameters(in folder: String) throws -> [(name: String, tensor: Tensor)] {
    let file = try SafetensorsFile(folder + "/model.safetensors")
    let constants = buffers.map(\.name)
    return try turned(file.names.filter { !constants.contains($0) }.map { ($0, try file.tensor($0)) })
  }

  /// Parameters with those matrices transposed that files have the other way round.
  private func turned(_ parameters: [(name: String, tensor: Tensor)]) throws -> [(name: String, tensor: Tensor)] {
    let names = Set(namedModules().compactMap { path, module in (module as? Linear)?.isStoredTransposed == true ? path + ".weight" : nil })
    return try parameters.map { name, tensor in
      (name, names.contains(name) ? try Autograd.noGrad { try tensor.transpose(0, 1).copy() } : tensor)
    }
  }

  private func transformersConfig() -> JSONObject {
    var values = config.values
    values["architectures"] = [.string(architecture.className(head))]
    // Where the decoder is the word embeddings, it is not in the file.
    if head == .language { values["tie_word_embeddings"] = .bool(isTied) }
    // Transformers trains and writes with no T5 whose configuration leaves this out.
    if let encoderLayout, values["decoder_start_token_id"] == nil { values["decoder_start_token_id"] = .int(Int(encoderLayout.startToken)) }
    values["dtype"] = "float32"
    // Weights in 4 bits are written as what they stand for.
    values["quantization_config"] = nil
    // The older name of the same key would win in older versions.
    if values["torch_dtype"] != nil { values["torch_dtype"] = "float32" }
    return values
  }
}
