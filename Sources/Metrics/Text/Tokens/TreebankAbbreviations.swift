/// Words that keep their stop as tokens of the Penn Treebank.
enum TreebankAbbreviations {
  /// Those that never end a sentence, in any case.
  static let inAnyCase = Set(
    """
    adj adm adv assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov govs hon insp invt \
    jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt natl pfc pres prof profs pvt rep reps rev sen sens sfc sgt spc st ste \
    supt supts treas vs wm
    """.split(separator: " ").map(String.init))
  /// Those that may end one, in any case. They are found before a word that goes on behind the stop with a single letter.
  static let beforeAnything = Set(
    """
    al ala apr ariz assn aug bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc ext feb fla fri ga inc \
    ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn ph.d plc pte pty rd rt sep sept \
    seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo
    """.split(separator: " ").map(String.init))
  /// Those too, but words unless they begin with a capital.
  static let capitalized: Set = ["Ark", "Az", "Del", "Ill", "La", "Mass", "Miss", "Ore", "Pa", "Tex", "Wash"]
  /// Those that are words unless a number follows.
  static let beforeNumbers: Set = [
    "ca", "ch", "chs", "fig", "figs", "prop", "no", "nos", "nr", "nrs", "vol", "vols", "sec", "sect", "art", "arts", "para", "paras", "pp",
    "op", "approx",
  ]
  /// Words that begin a sentence, so that a single letter before them has its stop for itself.
  static let openers: Set = [
    "A", "About", "According", "Additionally", "After", "An", "As", "At", "But", "Earlier", "He", "Her", "Here", "However", "If", "In", "It",
    "Last", "Many", "More", "Mr.", "Ms.", "Now", "Once", "One", "Other", "Our", "She", "Since", "So", "Some", "Such", "That", "The", "Their",
    "Then", "There", "These", "They", "This", "We", "When", "While", "What", "Yet", "You",
  ]
}
