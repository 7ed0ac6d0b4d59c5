import Diagnostics
import Tokenizers
import Training
import TransformerModels

enum BuiltInModel {
  static func make(_ name: String, seed: UInt64) throws -> (base: PretrainedModel, tokenizer: Tokenizer) {
    throw EngineError(.argument, "\(name): no such built-in model")
  }
}

enum BuiltInTasks {
  static func classification(_ name: String, _ options: GLUEOptions) throws -> ClassificationTask {
    throw EngineError(.argument, "\(name): no such built-in task")
  }
  static func language(_ name: String) throws -> MaskedLanguageTask {
    throw EngineError(.argument, "\(name): no such built-in task")
  }
}
