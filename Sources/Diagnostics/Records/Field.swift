/// One setting of a record: its name, what it means, which values it takes, and where it is stored.
///
/// The default is the value that a new record has.
public struct Field<Owner: Record>: Sendable {
  public let name: String
  /// One line: meaning and unit.
  public let doc: String
  /// The type in stubs: "integer", "fun(event: StepEvent)".
  public let typeName: String
  /// Which values are allowed: "from 1 to 4096"; nil if all.
  public let rangeWords: String?
  /// The names that are allowed, for a choice.
  public let choices: [String]?
  /// Whether it has no default and must be given.
  public let isRequired: Bool
  /// The record type inside this field, if any.
  public let nestedRecord: (any Record.Type)?
  /// Where a saved folder has it, and whether it may lack it there; see `saved(_:optional:as:)`.
  public internal(set) var place = SavedPlace.configuration
  public internal(set) var mayLack = false

  private let store: @Sendable (ConfigValue, inout Owner) throws(ValueMismatch) -> Void
  private let storeText: @Sendable (String, inout Owner) throws(ValueMismatch) -> Void
  private let load: @Sendable (Owner) -> ConfigValue
  /// What a saved folder has in place of `load`'s value; nil: that.
  var loadSaved: (@Sendable (Owner) -> ConfigValue)?

  /// A field of any type that a field can have.
  ///
  /// - Parameters:
  ///   - typeName: the type in stubs, if not the one of `Value`
  ///   - range: the allowed values; checked for every number in the field
  public static func value<Value: FieldValue>(
    _ name: String, _ path: WritableKeyPath<Owner, Value> & Sendable, _ doc: String,
    type typeName: String? = nil, required: Bool = false
  ) -> Field {
    Field(
      name: name, doc: doc, typeName: typeName ?? Value.typeName, rangeWords: nil,
      choices: Value.choices, isRequired: required, nestedRecord: Value.nestedRecord,
      store: { value, owner throws(ValueMismatch) in owner[keyPath: path] = try Value.decode(value) },
      storeText: { text, owner throws(ValueMismatch) in
        owner[keyPath: path] = try Value.decode(text: text)
      },
      load: { $0[keyPath: path].configValue })
  }

  /// An integer; 3.0 is one too.
  public static func int<Allowed: ValueRange<Int> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, Int> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Int>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { $0 }
  }

  /// An integer, or nothing.
  public static func int<Allowed: ValueRange<Int> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, Int?> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Int>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { $0 }
  }

  /// A number.
  public static func float<Allowed: ValueRange<Double> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, Double> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Double>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { $0 }
  }

  /// A number, or nothing.
  public static func float<Allowed: ValueRange<Double> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, Double?> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Double>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { $0 }
  }

  /// A number, stored in single precision.
  public static func float<Allowed: ValueRange<Double> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, Float> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Double>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { Double($0) }
  }

  /// A list of integers.
  public static func ints<Allowed: ValueRange<Int> & Sendable>(
    _ name: String, _ path: WritableKeyPath<Owner, [Int]> & Sendable, _ doc: String,
    in range: Allowed = Unlimited<Int>(), required: Bool = false
  ) -> Field {
    ranged(.value(name, path, doc, required: required), path, range) { $0 }
  }

  /// An object of the script's world: a tensor, a model. `typeName` is its name there.
  public static func object<Value: AnyObject & SendableMetatype>(
    _ name: String, _ path: WritableKeyPath<Owner, Value?> & Sendable, _ doc: String,
    type typeName: String, required: Bool = false
  ) -> Field {
    Field(
      name: name, doc: doc, typeName: typeName, rangeWords: nil, choices: nil,
      isRequired: required, nestedRecord: nil,
      store: { value, owner throws(ValueMismatch) in
        guard case .object(let object, _) = value, let fitting = object as? Value else {
          throw ValueMismatch(expected: "a " + objectWord(typeName), found: value.briefly)
        }
        owner[keyPath: path] = fitting
      },
      storeText: { text, _ throws(ValueMismatch) in
        throw ValueMismatch(expected: "a " + objectWord(typeName), found: "text '\(text)'")
      },
      load: { $0[keyPath: path].map { .object($0, typeName: typeName) } ?? .null })
  }

  /// The field's value in a record.
  public func read(_ record: Owner) -> ConfigValue { load(record) }

  /// The field's value as a saved folder has it.
  public func readSaved(_ record: Owner) -> ConfigValue { (loadSaved ?? load)(record) }

  /// Checks and stores a value; the error names record and field.
  public func set(_ value: ConfigValue, in record: inout Owner) throws(EngineError) {
    do throws(ValueMismatch) { try store(value, &record) } catch { throw explained(error) }
  }

  /// Checks and stores a value given as text; the error names record and field.
  public func set(text: String, in record: inout Owner) throws(EngineError) {
    do throws(ValueMismatch) { try storeText(text, &record) } catch { throw explained(error) }
  }

  private func explained(_ mismatch: ValueMismatch) -> EngineError {
    if let report = mismatch.report {
      return report.at("\(Owner.recordName): '\(name)\(mismatch.place)'")
    }
    var expected = mismatch.expected
    if let rangeWords, !expected.contains(rangeWords) { expected += " " + rangeWords }
    return EngineError(
      .argument,
      "\(Owner.recordName): '\(name)\(mismatch.place)' must be \(expected), got \(mismatch.found)")
  }
}

/// "fun(event: StepEvent)" is a function to the reader of a message.
private func objectWord(_ typeName: String) -> String {
  typeName.hasPrefix("fun(") ? "function" : typeName
}

extension Field {
  /// The fields of a record inside this one, as if they were its own.
  public static func fields<Inner: Record>(
    of path: WritableKeyPath<Owner, Inner> & Sendable
  ) -> [Field] {
    Inner.fields.map { inner in
      var field = Field(
        name: inner.name, doc: inner.doc, typeName: inner.typeName, rangeWords: inner.rangeWords,
        choices: inner.choices, isRequired: inner.isRequired, nestedRecord: inner.nestedRecord,
        store: { value, owner throws(ValueMismatch) in try inner.store(value, &owner[keyPath: path]) },
        storeText: { text, owner throws(ValueMismatch) in
          try inner.storeText(text, &owner[keyPath: path])
        },
        load: { inner.load($0[keyPath: path]) })
      (field.place, field.mayLack) = (inner.place, inner.mayLack)
      if inner.loadSaved != nil { field.loadSaved = { inner.readSaved($0[keyPath: path]) } }
      return field
    }
  }

  /// The same field, whose numbers must lie in `range`.
  private static func ranged<Value: FieldValue, Allowed: ValueRange & Sendable>(
    _ field: Field, _ path: WritableKeyPath<Owner, Value> & Sendable,
    _ range: Allowed, _ number: @escaping @Sendable (Value) -> Allowed.Bound?
  ) -> Field {
    checked(field, path, range) { value in number(value).map { [("", $0)] } ?? [] }
  }

  private static func ranged<Allowed: ValueRange<Int> & Sendable>(
    _ field: Field, _ path: WritableKeyPath<Owner, [Int]> & Sendable,
    _ range: Allowed, _ numbers: @escaping @Sendable ([Int]) -> [Int]
  ) -> Field {
    checked(field, path, range) { value in
      numbers(value).enumerated().map { ("[\($0.offset + 1)]", $0.element) }
    }
  }

  private static func checked<Value: FieldValue, Allowed: ValueRange & Sendable>(
    _ field: Field, _ path: WritableKeyPath<Owner, Value> & Sendable,
    _ range: Allowed,
    _ numbers: @escaping @Sendable (Value) -> [(place: String, number: Allowed.Bound)]
  ) -> Field {
    if range is Unlimited<Allowed.Bound> { return field }
    @Sendable func check(_ owner: Owner) throws(ValueMismatch) {
      for (place, number) in numbers(owner[keyPath: path]) where !range.contains(number) {
        let expected = place.isEmpty ? Value.expected : "a number"
        throw ValueMismatch(
          expected: "\(expected) \(range.words)", found: "\(number)", place: place)
      }
    }
    return Field(
      name: field.name, doc: field.doc, typeName: field.typeName, rangeWords: range.words,
      choices: field.choices, isRequired: field.isRequired, nestedRecord: field.nestedRecord,
      store: { value, owner throws(ValueMismatch) in
        try field.store(value, &owner)
        try check(owner)
      },
      storeText: { text, owner throws(ValueMismatch) in
        try field.storeText(text, &owner)
        try check(owner)
      },
      load: field.load)
  }
}
