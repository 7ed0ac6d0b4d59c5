import Diagnostics
import Files
import Metrics
import TestSupport
import Testing

@testable import Datasets

/// The data sets of texts for inputs.
struct TextToTextTests {
  private func read(_ data: any TextToText, _ change: (inout TextToTextOptions) -> Void) throws -> TaskDefinition {
    var data = data
    change(&data.options)
    try data.validate()
    return try data.read()
  }

  private func write(_ files: [String: String], in folder: String) throws {
    for (name, text) in files { try AtomicFile.write(text, to: folder + "/" + name) }
  }

  /// One example for each text in training, one for each input in evaluation, as GPT-2 and as an encoder reads them.
  @Test func e2eGroupsReferences() throws {
    try withTemporaryFolder { folder in
      let rows =
        "mr,ref\r\n\"name[The Mill], eatType[pub], priceRange[£20-25]\",\"It's The Mill, a kid-friendly pub.\"\r\n"
        + "\"name[Cotto], familyFriendly[no]\",Cotto isn't for kids.\r\n\"name[The Mill], eatType[pub], priceRange[£20-25]\",A pub\r\n"
      try write(["trainset.csv": rows, "devset.csv": rows], in: folder)
      let task = try read(E2E(), { $0.folder = folder })
      let mill = "name : The Mill | Type : pub | price : £ 20 - 25<|endoftext|>"
      let cotto = "name : Cotto | family friendly : no<|endoftext|>"
      let texts = [" It 's The Mill , a kid - friendly pub .", " Cotto is n't for kids .", " A pub"]
      #expect(task.train.examples == zip([mill, cotto, mill], zip(texts, [2, 3, 4])).map { Example([$0], target: .texts([$1.0]), line: $1.1) })
      #expect(
        task.evaluation.map(\.examples) == [
          [Example([mill], target: .texts([texts[0], texts[2]]), line: 2), Example([cotto], target: .texts([texts[1]]), line: 3)]
        ])
      let seq2seq = try read(E2E(), { ($0.folder, $0.taskType, $0.sourcePrefix) = (folder, .seq2seqLM, "say: ") })
      #expect(
        seq2seq.train.examples[1] == Example(["say: name : Cotto | family friendly : no"], target: .texts(["Cotto is n't for kids ."]), line: 3))
      try write(["a.txt": "name : X || A pub . \nname : Y||\nname : X||B\n"], in: folder)
      let theirs = try read(E2E(), { ($0.folder, $0.trainFiles, $0.evalFiles, $0.separator) = (folder, ["a.txt"], ["a.txt"], "") })
      #expect(theirs.evaluation[0].examples == [Example(["name : X"], target: .texts([" A pub .", " B"]), line: 1)])
      #expect(theirs.skippedRows.map(\.firstLine) == [2, 2])
    }
  }

  /// The files of LoRA's authors say what the challenge's files say.
  @Test(.enabled(if: testData("nlg/e2e") != nil, "no E2E data"))
  func e2eIsAsLoRAsAuthorsHaveIt() throws {
    let folder = try #require(testData("nlg/e2e"))
    let ours = try E2E().examples(of: folder + "/devset.csv", .validation)
    let theirs = try E2E().examples(of: folder + "/lora_format/valid.txt", .validation)
    #expect(ours.count == 3_691 && ours.map(\.text) == theirs.map(\.text))
    let equal = zip(ours, theirs).reduce(0) { $0 + ($1.0.target == $1.1.target ? 1 : 0) }
    #expect(equal == 3_649)
  }

  private func entry(_ category: String, _ texts: [(String, String)]) -> String {
    let lexes = texts.map { #"{"comment": "\#($0)", "lex": "\#($1)", "xml_id": "Id1"}"# }.joined(separator: ", ")
    return #"{"category": "\#(category)", "modifiedtripleset": [{"subject": "A_b", "property": "is", "object": "\"C\""}, "#
      + #"{"subject": "A_b", "property": "has", "object": "D"}], "lexicalisations": [\#(lexes)]}"#
  }

  @Test func webNLGByCategory() throws {
    try withTemporaryFolder { folder in
      let (good, other) = (entry("Food", [("good", "x"), ("toFix", "y"), ("good", "z")]), entry("Artist", [("good", "w")]))
      try write(
        [
          "train.json": #"{"entries": [{"1": \#(good)}, {"2": \#(entry("Food", [("bad", "v")]))}]}"#,
          "test.json": #"{"entries": [{"7": \#(good)}, {"9": \#(other)}]}"#,
        ],
        in: folder)
      for (categories, expected) in [(WebNLG.Categories.all, [[" x", " z"], [" w"]]), (.seen, [[" x", " z"]]), (.unseen, [[" w"]])] {
        var data = WebNLG()
        data.categories = categories
        let task = try read(data, { ($0.folder, $0.evalSplit) = (folder, .test) })
        #expect(task.evaluation[0].examples.map(\.references) == expected)
        #expect(task.train.examples.map(\.text) == Array(repeating: "A_b : is : \"C\" | A_b : has : D<|endoftext|>", count: 2))
        #expect(task.skippedRows.map(\.count) == [1])
      }
    }
  }

  @Test func translationsAndSummaries() throws {
    try withTemporaryFolder { folder in
      try write(
        [
          "train.en": "One.\r\n\r\nTwo.\r\n", "train.ro": "Unu.\n\nDoi.\n", "more.tsv": "Three\tTrei\n", "dev.en": "A\nA\n", "dev.ro": "B\nC\n",
          "hub.jsonl": #"{"translation": {"en": "Four", "ro": "Patru"}}"#, "train.jsonl": #"{"document": "D\nE", "summary": "S", "id": "1"}"#,
          "dev.jsonl": "{\"document\": \"D\", \"summary\": \"S\"}\n{\"document\": \"D\", \"summary\": \" \"}",
        ], in: folder)
      let task = try read(WMT16(), { ($0.folder, $0.trainFiles) = (folder, ["train", "more.tsv", "hub.jsonl"]) })
      let prefix = "translate English to Romanian: "
      #expect(task.train.examples.map(\.text) == ["One.", "Two.", "Three", "Four"].map { prefix + $0 })
      #expect(task.train.examples.map(\.references) == [["Unu."], ["Doi."], ["Trei"], ["Patru"]])
      // A sentence that stands there twice counts twice.
      #expect(task.evaluation[0].examples.map(\.references) == [["B"], ["C"]])
      let summaries = try read(XSum(), { $0.folder = folder })
      #expect(summaries.train.examples == [Example(["D\nE"], target: .texts(["S"]), line: 1)])
      #expect(summaries.evaluation[0].examples.count == 1 && summaries.skippedRows.map(\.firstLine) == [2])
    }
  }

  static let mistakes: [(files: [String: String], data: any TextToText.Type, message: String)] = [
    (["trainset.csv": "mr,ref\nThe Mill,x\n"], E2E.self, "trainset.csv:2: expected attributes like name[The Vaults], eatType[pub], got 'The Mill'"),
    (["trainset.csv": "mr,ref\n\"name[A], eatType\",x\n"], E2E.self, "trainset.csv:2: expected attributes like"),
    (["trainset.csv": "mr,text\na,b\n"], E2E.self, "trainset.csv:1: no column 'ref'"),
    ([:], E2E.self, "trainset.csv: no such file"),
    (["train.json": "[]"], WebNLG.self, "train.json: no list 'entries'"),
    (
      ["train.json": #"{"entries": [{"1": {"category": "Food"}}]}"#], WebNLG.self,
      "train.json: entry 1: 'modifiedtripleset' is missing, expected a list"
    ),
    (["train.json": #"{"entries": [1]}"#], WebNLG.self, "train.json: entry 1: expected an object with one entry, got 1"),
    (["train.en": "a\nb\n", "train.ro": "c\n"], WMT16.self, "train.en has 2 lines, "),
    (["train.en": "a\n"], WMT16.self, "train.ro: no such file"),
    (["train.jsonl": "{\"document\": \"a\"}\n"], XSum.self, "train.jsonl:1: no column 'summary' (columns: document)"),
    (["train.jsonl": "{\"document\": \"a\", \"summary\": \"\"}\n"], XSum.self, "train.jsonl: no usable text in 1 examples"),
  ]

  @Test(arguments: mistakes.indices)
  func mistakesHaveAPlace(_ index: Int) throws {
    try withTemporaryFolder { folder in
      let (files, data, message) = Self.mistakes[index]
      try write(files, in: folder)
      let error = #expect(throws: EngineError.self) { try read(data.init()) { $0.folder = folder } }
      #expect(error.map { "\($0)".contains(message) } == true, "\(error.map { "\($0)" } ?? "none")")
    }
  }

  /// The built-in data: no input of one part is in another, and held-out names are made of words that training has.
  @Test func builtInPartsAreApart() throws {
    for data in TextToTextCatalogue.tasks {
      #expect(try data.metrics.allSatisfy { try MetricCatalogue.metric(named: $0).readsTexts })
      func inputs<Data: TextToText>(_ data: Data.Type) -> [[Example]] { [DataPart.train, .validation, .test].map { Data().builtIn($0) } }
      let parts = inputs(data)
      let texts = parts.flatMap { $0.map(\.text) }
      #expect(Set(texts).count == texts.count, "\(data)")
      #expect(parts.map(\.count) == (data.usualType == .causalLM ? [1_000, 100, 100] : [3_000, 100, 100]))
      #expect(parts == inputs(data))
    }
    let (train, test) = (BuiltIn.dataToText(.train), BuiltIn.dataToText(.test))
    let known = Set(train.map { $0.attributes[0].value })
    #expect(test.allSatisfy { known.contains($0.attributes[0].value) != $0.isHeldOut } && test.filter(\.isHeldOut).count == 50)
    let words = Set(known.flatMap { $0.split(separator: " ") })
    #expect(test.allSatisfy { $0.attributes[0].value.split(separator: " ").allSatisfy(words.contains) })
    #expect(train.allSatisfy { Set($0.texts).count == 3 && $0.texts.allSatisfy { text in !text.contains(" a I") } })
    let pair = try #require(BuiltIn.translations(.test).first)
    #expect(pair.english == "On Friday the person lost a fruit." && pair.romanian == "Vineri persoana a pierdut un fruct.")
  }
}
