/// Words that keep their stop as tokens of the Penn Treebank.
enum TreebankAbbreviations {
  /// Those in any case.
  static let inAnyCase = Set(
    """
    adj adm adv al ala apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig bros calif capt cf cie cmdr co col colo \
    comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon inc ind insp intl \
    invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt natl neb \
    nev nov oct okla penn pfc ph.d plc pres prof profs pte pty pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste \
    supt supts sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
    """.split(separator: " ").map(String.init))
  /// Those that are words unless they begin with a capital.
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
