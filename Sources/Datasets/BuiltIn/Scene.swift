/// The parts of a sentence that one can ask about.
enum Slot: Int, CaseIterable, Sendable {
  case agent, verb, object, place, day
}

/// How the claim of one sentence, the hypothesis, follows from that of another about the same event.
enum Relation: Int, CaseIterable, Sendable {
  case entailment, neutral, contradiction
}

/// What one sentence claims about one event; a nil slot is left open.
struct Scene: Equatable, Sendable {
  var agent: Concept
  var verb: Verb
  var object: Concept
  var place: Concept?
  var day: Concept?

  /// The concept in a slot; nil where it is open, and for the verb, which is no concept.
  /// Setting nil leaves agent and object as they are, since every sentence has both.
  subscript(slot: Slot) -> Concept? {
    get {
      switch slot {
      case .agent: return agent
      case .verb: return nil
      case .object: return object
      case .place: return place
      case .day: return day
      }
    }
    set {
      switch slot {
      case .agent: agent = newValue ?? agent
      case .verb: break
      case .object: object = newValue ?? object
      case .place: place = newValue
      case .day: day = newValue
      }
    }
  }

  /// How what `hypothesis` says about one slot follows from this premise; nil where it says nothing.
  func relation(to hypothesis: Scene, in slot: Slot) -> Relation? {
    if slot == .verb { return verb.relation(to: hypothesis.verb) }
    guard let asked = hypothesis[slot] else { return nil }
    guard let given = self[slot] else { return .neutral }
    if given.excludes(asked) { return .contradiction }
    return given.isWithin(asked) ? .entailment : .neutral
  }

  /// The relation of the whole hypothesis to this premise, judged by the given slots: contradicted where
  /// any of them is, else neutral where any is, else entailed.
  func relation(to hypothesis: Scene, judging slots: [Slot]) -> Relation {
    let relations = slots.compactMap { relation(to: hypothesis, in: $0) }
    if relations.contains(.contradiction) { return .contradiction }
    return relations.contains(.neutral) ? .neutral : .entailment
  }

  /// One English sentence: "On Monday the girl bought a pear in the market."
  var sentence: String {
    var words = day.map { "On " + $0.word + " the " } ?? "The "
    words += agent.word + " " + verb.past + " a " + object.word
    if let place { words += " in the " + place.word }
    return words + "."
  }

  /// The sentence as a second speaker says it who knows what `premise` says: "that" and "indeed" mark
  /// what is known, "some" and "also" what is new, "another" and "rather" what differs.
  ///
  /// This is how the language-model corpus shows which word goes with which across two sentences. The
  /// labelled tasks have none of these words.
  func commented(on premise: Scene) -> String {
    func determiner(_ slot: Slot) -> String {
      switch premise.relation(to: self, in: slot) {
      case .entailment: return "that "
      case .contradiction: return "another "
      case .neutral, nil: return "some "
      }
    }
    let adverb: String
    switch premise.verb.relation(to: verb) {
    case .entailment: adverb = " indeed "
    case .neutral: adverb = " also "
    case .contradiction: adverb = " rather "
    }
    var words = day.map { "on " + determiner(.day) + $0.word + " " } ?? ""
    words += determiner(.agent) + agent.word + adverb + verb.past
    words += " " + determiner(.object) + object.word
    if let place { words += " in " + determiner(.place) + place.word }
    return words.prefix(1).uppercased() + words.dropFirst() + "."
  }
}
