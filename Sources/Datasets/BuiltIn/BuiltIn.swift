/// One labelled pair of sentences.
public struct BuiltInExample: Equatable, Hashable, Sendable {
  /// The premise.
  public let text: String
  /// The hypothesis.
  public let textPair: String
  /// Index into the label names of the task.
  public let label: Int
}

/// The two parts of a generated task; no pair of sentences occurs twice, within a part or across both.
public struct BuiltInTask: Sendable {
  public let train: [BuiltInExample]
  public let dev: [BuiltInExample]
  /// Names of the labels, by index.
  public let labels: [String]
}

/// Data for machines without models and data sets: a text corpus and two inference tasks over the same
/// small English, generated from a grammar. The same seed and counts give the same data everywhere.
///
/// A sentence claims something about one event: on which day who did what to what and, if it says so,
/// where. Each word stands for a set of possibilities ("child" covers "girl" and "boy"), and every label
/// follows from these sets alone: a hypothesis is entailed where all its words cover what the premise
/// says, contradicted where one excludes it, and neutral otherwise. Hypotheses are drawn before the label
/// is looked at, so that a hypothesis alone tells nothing. Only places and the words "person" and "thing"
/// let a premise alone hint at a label of the MNLI-like task, since what is vague entails little.
///
/// The tasks show what happens when an adapter meets a new task, because they differ in what counts. The
/// MNLI-like task asks what happens and where, on whichever day: its sentences name days at random, and
/// its labels ignore them. The RTE-like task asks about one occasion: the day counts, and three in four
/// changed words are days. The corpus treats all words alike, so the base model learns to compare days as
/// well as anything else; but an adapter trained on the MNLI-like task has learnt to keep days away from
/// the classifier. A new classifier alone therefore has little to work with, while retraining the small
/// inner matrices of that adapter (DeLoRA) can bring the days in.
public enum BuiltIn {
  /// Sentence pairs for masked language modelling: four in five are a statement and a second speaker's
  /// comment on it ("On that Friday another boy rather sold some pear."), the others a statement and
  /// what follows from it.
  ///
  /// The comments are what makes a short training enough. "That", "some" and "another" depend on how one
  /// word compares with its counterpart, so predicting them teaches the comparisons that the tasks need.
  ///
  /// - Parameters:
  ///   - seed: any number.
  ///   - count: number of pairs, 0 to 1,000,000; taken as the nearest of these.
  public static func corpus(seed: UInt64 = 1, count: Int = 40_000) -> [(
    text: String, textPair: String?
  )] {
    var sampler = SceneSampler(seed: seed)
    return (0..<clamped(count)).map { index in
      let hypothesis = sampler.scene(general: 25)
      var premise = sampler.entailingPremise(for: hypothesis, keeping: 20)
      if index % 5 == 4 { return (premise.sentence, hypothesis.sentence) }
      for slot in Slot.allCases {
        let relation = Relation.allCases[sampler.random.below(Relation.allCases.count)]
        guard relation != .entailment,
          let changed = sampler.changing(slot, of: premise, to: relation, for: hypothesis)
        else { continue }
        premise = changed
      }
      return (premise.sentence, hypothesis.commented(on: premise))
    }
  }

  /// The MNLI-like task: entailment 0, neutral 1, contradiction 2, a third of each part each.
  ///
  /// - Parameters:
  ///   - seed: any number.
  ///   - train: number of training examples, 0 to 1,000,000; taken as the nearest of these.
  ///   - dev: number of evaluation examples, likewise. They are drawn first, so they are the same
  ///     whatever `train` is.
  public static func mnli(seed: UInt64 = 1, train: Int = 16_000, dev: Int = 600) -> BuiltInTask {
    task(
      // Each task draws from a stream of its own.
      seed: seed &+ 0x6D6E_6C69, train: train, dev: dev, relations: Relation.allCases,
      judged: [.agent, .verb, .object, .place], changed: [.agent, .verb, .object, .place],
      labels: ["entailment", "neutral", "contradiction"])
  }

  /// The RTE-like task: entailment 0, not_entailment 1 (contradiction), half each.
  ///
  /// - Parameters:
  ///   - seed: any number.
  ///   - train: number of training examples, 0 to 1,000,000; taken as the nearest of these.
  ///   - dev: number of evaluation examples, likewise. They are drawn first, so they are the same
  ///     whatever `train` is.
  public static func rte(seed: UInt64 = 1, train: Int = 8_000, dev: Int = 600) -> BuiltInTask {
    task(
      seed: seed &+ 0x7274_6500, train: train, dev: dev,
      // Without neutral pairs: their premises leave something out, and so would tell the label alone.
      relations: [.entailment, .contradiction],
      judged: Slot.allCases, changed: [.day, .day, .day, .agent],
      labels: ["entailment", "not_entailment"])
  }

  /// - Parameters:
  ///   - relations: drawn in turn, so that every part is balanced.
  ///   - judged: the slots that count; where the day does not, the premise's is drawn at random.
  ///   - changed: the slots on which labels turn, by frequency; all of them are judged.
  private static func task(
    seed: UInt64, train: Int, dev: Int, relations: [Relation], judged: [Slot], changed: [Slot],
    labels: [String]
  ) -> BuiltInTask {
    var sampler = SceneSampler(seed: seed)
    let devCount = clamped(dev)
    let wanted = clamped(train) + devCount
    var seen = Set<String>()
    var examples: [BuiltInExample] = []
    // About two draws in three are kept; the bound makes sure that the loop ends.
    var drawsLeft = 1_000 + 50 * wanted
    while examples.count < wanted, drawsLeft > 0 {
      drawsLeft -= 1
      let relation = relations[examples.count % relations.count]
      // Classes in premises of every label, so that a vague word alone tells little.
      let hypothesis = sampler.scene(general: 45)
      var premise = sampler.premise(for: hypothesis, relation, changing: changed, keeping: 70)
      if !judged.contains(.day) { premise.day = sampler.random.pick(Lexicon.days.leaves) }
      guard premise.relation(to: hypothesis, judging: judged) == relation,
        seen.insert(premise.sentence + "\t" + hypothesis.sentence).inserted
      else { continue }
      examples.append(
        BuiltInExample(
          text: premise.sentence, textPair: hypothesis.sentence,
          label: min(relation.rawValue, labels.count - 1)))
    }
    return BuiltInTask(
      train: Array(examples.dropFirst(devCount)), dev: Array(examples.prefix(devCount)),
      labels: labels)
  }

  /// A count as asked for, kept to what fits in memory.
  private static func clamped(_ count: Int) -> Int { min(max(0, count), 1_000_000) }
}
