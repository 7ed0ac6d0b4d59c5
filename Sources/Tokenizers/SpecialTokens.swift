/// The tokens with a role, by name.
struct SpecialTokens: Sendable {
  enum Role: String, CaseIterable, Sendable {
    case bos = "bos_token"
    case eos = "eos_token"
    case unk = "unk_token"
    case sep = "sep_token"
    case pad = "pad_token"
    case cls = "cls_token"
    case mask = "mask_token"
  }

  private var names: [Role: String] = [:]

  subscript(role: Role) -> String? {
    get { names[role] }
    set { names[role] = newValue }
  }

  /// Gives each role that has no token the one that BERT, RoBERTa, GPT-2 or T5 uses, if the
  /// vocabulary has it.
  mutating func inferMissing(vocabulary: CombinedVocabulary, unknownToken: String?) {
    func infer(_ role: Role, _ candidates: [String?]) {
      guard names[role] == nil else { return }
      names[role] = candidates.lazy.compactMap { $0 }.first { vocabulary.id(of: $0) != nil }
    }
    infer(.cls, ["[CLS]", "<s>"])
    // "</s>" alone, without a "<s>", ends a text and separates nothing.
    switch names[.cls] {
    case "[CLS]": infer(.sep, ["[SEP]"])
    case "<s>": infer(.sep, ["</s>"])
    default: break
    }
    infer(.pad, ["[PAD]", "<pad>"])
    infer(.mask, ["[MASK]", "<mask>"])
    infer(.unk, [unknownToken, "[UNK]", "<unk>", "<|endoftext|>"])
    infer(.bos, ["<s>", "<|endoftext|>"])
    infer(.eos, ["</s>", "<|endoftext|>"])
  }
}
