/// Draws hypotheses, and premises with a wanted relation to them.
///
/// The hypothesis is drawn first and without looking at the label, so that nothing in it can give the
/// label away; only the premise depends on both.
struct SceneSampler {
  var random: SplitMix64

  init(seed: UInt64) {
    random = SplitMix64(seed: seed)
  }

  /// A scene with a day and, in half of the cases, a place; in `general` percent of its slots the word
  /// is a class rather than a leaf.
  mutating func scene(general: Int) -> Scene {
    Scene(
      agent: concept(Lexicon.agents, general: general),
      verb: Lexicon.verbs[random.below(Lexicon.verbs.count)],
      object: concept(Lexicon.objects, general: general),
      place: random.chance(50) ? concept(Lexicon.places, general: general) : nil,
      day: concept(Lexicon.days, general: general))
  }

  private mutating func concept(_ taxonomy: Taxonomy, general: Int) -> Concept {
    let isGeneral = random.chance(general) && !taxonomy.general.isEmpty
    let list = isGeneral ? taxonomy.general : taxonomy.leaves
    return list[random.below(list.count)]
  }

  /// A premise that entails `hypothesis`: in `keeping` percent of the slots it has the very same word,
  /// elsewhere a leaf that the word covers. What the hypothesis leaves open is filled in a quarter of the
  /// cases.
  mutating func entailingPremise(for hypothesis: Scene, keeping: Int) -> Scene {
    var premise = hypothesis
    premise.verb = verb(.entailment, to: hypothesis.verb) ?? hypothesis.verb
    for slot in Slot.allCases {
      guard let taxonomy = Lexicon.taxonomy(slot) else { continue }
      if let asked = hypothesis[slot] {
        guard !random.chance(keeping) else { continue }
        premise[slot] = random.pick(taxonomy.leaves.filter { $0.isWithin(asked) })
      } else if random.chance(25) {
        premise[slot] = concept(taxonomy, general: 10)
      }
    }
    return premise
  }

  /// A premise with the wanted relation to `hypothesis` because of one or two of the slots in `slots`;
  /// one that entails it where the drawn slots allow no such premise.
  mutating func premise(
    for hypothesis: Scene, _ relation: Relation, changing slots: [Slot], keeping: Int
  ) -> Scene {
    var premise = entailingPremise(for: hypothesis, keeping: keeping)
    guard relation != .entailment else { return premise }
    for _ in 0...random.below(2) {
      guard let slot = random.pick(slots),
        let changed = changing(slot, of: premise, to: relation, for: hypothesis)
      else { continue }
      premise = changed
    }
    return premise
  }

  /// `premise` with one slot changed such that, in this slot, it has the wanted relation to
  /// `hypothesis`; nil where the slot allows none (nothing is broader than "person", say).
  mutating func changing(
    _ slot: Slot, of premise: Scene, to relation: Relation, for hypothesis: Scene
  ) -> Scene? {
    var changed = premise
    guard let taxonomy = Lexicon.taxonomy(slot) else {
      guard let verb = verb(relation, to: hypothesis.verb) else { return nil }
      changed.verb = verb
      return changed
    }
    guard hypothesis[slot] != nil else { return nil }
    var candidates: [Scene] = []
    for concept in taxonomy.all {
      changed[slot] = concept
      if changed.relation(to: hypothesis, in: slot) == relation { candidates.append(changed) }
    }
    // Leaving the slot open is as likely as naming something broader.
    changed[slot] = nil
    if changed[slot] == nil, changed.relation(to: hypothesis, in: slot) == relation,
      candidates.isEmpty || random.chance(50)
    {
      return changed
    }
    return random.pick(candidates)
  }

  private mutating func verb(_ relation: Relation, to hypothesis: Verb) -> Verb? {
    random.pick(Lexicon.verbs.filter { $0.relation(to: hypothesis) == relation })
  }
}
