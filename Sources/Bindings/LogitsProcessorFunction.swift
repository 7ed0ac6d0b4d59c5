import Diagnostics
import Engine
import Generation
import LuaHost
import LuaTensors
import TensorCore

extension Field {
  /// A script's function that changes scores while a model writes.
  static func logitsProcessor(_ path: WritableKeyPath<Owner, LuaFunction?> & Sendable) -> Field {
    .function(
      "logits_processor", path,
      "changes the scores of the next token: called for each text, or hypothesis of a beam search, and step, with the tokens so far (the prompt's too) and the scores, float32 [vocabulary]; changes them in place, or returns others; -inf forbids a token. It comes behind the rules of the options, and before temperature, top_k, top_p and min_p; in a beam search scores are log probabilities, in that of the LoRA authors logits",
      type: "fun(tokens: integer[], scores: Tensor): Tensor?")
  }
}

extension LuaFunction {
  /// The function as generation calls it. Random numbers that it draws depend on the seed and on the tokens alone, so that texts
  /// are the same whatever is written beside them.
  func logitsProcessor(_ session: Session, seed: UInt64) -> TokenGenerator.Processor {
    { [self] written, scores in
      let given = try Tensor(Array(scores), [scores.count])
      let tokens = LuaTable(list: written.tokens.map { .integer(Int($0)) })
      let place = written.tokens.reduce(seed ^ 0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64(UInt32(bitPattern: $1))) &* 0x100_0000_01b3 }
      var answer: Tensor?
      try session.drawing(place) {
        answer = try ScriptAnswer(self, "logits_processor", [.table(tokens), .object(given)]).scores(given)
      }
      if let answer { _ = scores.update(from: answer.floats) }
    }
  }
}
