import Adapters
import Diagnostics
import Engine
import Files
import LuaHost
import LuaMethods
import LuaTensors
import TensorCore
import Tokenizers
import Training
import TransformerModels

// What tells functions apart that captured objects: every class of objects that outlives a call says what it holds.

extension Tensor: LuaContent {
  public func contentIdentity() throws -> JSONValue {
    func digest(_ tensor: Tensor) -> JSONValue {
      .string(Digest(of: UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size)).hex)
    }
    var identity: JSONObject = ["tensor": .string("\(shape) \(dtype.rawValue)"), "values": digest(self)]
    if requiresGrad { identity["requires_grad"] = true }
    if let grad { identity["grad"] = digest(grad) }
    return .object(identity)
  }

  public var sharedMemory: [(name: String, memory: ObjectIdentifier)] {
    storage.isWritable ? [("from \(byteOffset)", ObjectIdentifier(storage))] : []
  }
}

extension TrainableModel: LuaContent {
  public func contentIdentity() throws -> JSONValue {
    let context = network.context
    return [
      "model": try identity(), "tokenizer": .string(tokenizer.digest().hex), "is_training": .bool(context.isTraining),
      "seed": .int(Int(truncatingIfNeeded: context.seed)),
    ]
  }

  /// What trains: no other model holds the same memory, but tensors of the script may.
  public var sharedMemory: [(name: String, memory: ObjectIdentifier)] {
    network.namedParameters().filter { $0.tensor.storage.isWritable }.map { ($0.name, ObjectIdentifier($0.tensor.storage)) }
  }
}

extension PretrainedModel: LuaContent {
  public func contentIdentity() throws -> JSONValue { ["base": try identity()] }
}

extension Tokenizer: LuaContent {
  public func contentIdentity() throws -> JSONValue {
    var identity: JSONObject = ["tokenizer": .string(digest().hex)]
    if hasChatTemplate { identity["chat_templates"] = .array(chatTemplateTexts.map { .string($0) }) }
    return .object(identity)
  }
}

extension Task: LuaContent {
  public func contentIdentity() throws -> JSONValue { ["task": task.identity, "name": .string(task.name)] }
}

extension AdapterSpec: LuaContent {
  public func contentIdentity() throws -> JSONValue {
    [
      "adapter": .string(method.name), "options": .object(method.options), "targets": targets.configValue.json,
      "name": .string(name), "seed": seed.map { .int($0) } ?? .null,
    ]
  }
}

extension ParameterValues: LuaContent {
  public func contentIdentity() throws -> JSONValue { ["params": .object(values)] }
}

extension FitResult: LuaContent {
  /// The result's own numbers follow from its key; its model may have changed since.
  public func contentIdentity() throws -> JSONValue { ["result": .string(key), "model": try model.contentIdentity()] }
}
