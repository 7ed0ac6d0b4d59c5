/// Texts for models with an encoder, over the scenes of the corpus.
extension BuiltIn {
  /// English sentences with their Romanian: 3,000 to train on, 100 for validation, 100 to test on; no sentence occurs twice.
  static func translations(_ part: DataPart) -> [(english: String, romanian: String)] {
    distinct(part, seed: 0x726F_6D61) { sampler in
      let scene = sampler.scene(general: 30)
      return (scene.sentence, scene.romanian)
    }.map { (english: $0.0, romanian: $0.1) }
  }

  /// Two sentences about what somebody did, and one that says it in general words: as many as translations.
  static func summaries(_ part: DataPart) -> [(document: String, summary: String)] {
    distinct(part, seed: 0x7375_6D6D) { sampler in
      let first = sampler.scene(general: 0)
      var second = sampler.scene(general: 0)
      second.agent = first.agent
      let said = [first, second].map { "\($0.verb.plain) a \(Lexicon.objects.general(of: $0.object))" }.joined(separator: " and ")
      return ("\(first.sentence) \(second.sentence)", "A \(Lexicon.agents.general(of: first.agent)) \(said).")
    }.map { (document: $0.0, summary: $0.1) }
  }

  private static func distinct(
    _ part: DataPart, seed: UInt64, _ draw: (inout SceneSampler) -> (String, String)
  ) -> [(String, String)] {
    var sampler = SceneSampler(seed: seed)
    var seen: Set<String> = []
    // What is evaluated is drawn first.
    let counts: [(part: DataPart, count: Int)] = [(.test, 100), (.validation, 100), (.train, 3_000)]
    for (drawn, count) in counts {
      var pairs: [(String, String)] = []
      while pairs.count < count {
        let pair = draw(&sampler)
        if seen.insert(pair.0).inserted { pairs.append(pair) }
      }
      if drawn == part { return pairs }
    }
    return []
  }
}

extension Verb {
  /// The most usual of the verbs that mean the same.
  fileprivate var plain: String { Lexicon.verbs.first { $0.group == group && $0.side == side }?.past ?? past }
}

extension Taxonomy {
  /// The class of a word.
  fileprivate func general(of concept: Concept) -> String { general.first { concept.isWithin($0) }?.word ?? concept.word }
}

extension Scene {
  /// The sentence in Romanian: "Luni fata a cumpărat o pară în piață."
  var romanian: String {
    let parts = [day?.word, agent.word, verb.past, object.word, place?.word].compactMap { $0 }.map { Self.words[$0] ?? $0 }
    let text = parts.joined(separator: " ")
    return text.prefix(1).uppercased() + text.dropFirst() + "."
  }

  private static let words = [
    "Monday": "luni", "Tuesday": "marți", "Friday": "vineri", "Sunday": "duminică", "girl": "fata", "boy": "băiatul", "farmer": "fermierul",
    "nurse": "asistenta", "child": "copilul", "worker": "muncitorul", "person": "persoana", "bought": "a cumpărat",
    "purchased": "a achiziționat", "sold": "a vândut", "found": "a găsit", "discovered": "a descoperit", "lost": "a pierdut",
    "pushed": "a împins", "shoved": "a îmbrâncit", "pulled": "a tras", "dog": "un câine", "cat": "o pisică", "pear": "o pară",
    "plum": "o prună", "pet": "un animal de companie", "fruit": "un fruct", "thing": "un lucru", "forest": "în pădure", "field": "pe câmp",
    "market": "în piață", "station": "în gară", "countryside": "la țară", "town": "în oraș",
  ]
}
