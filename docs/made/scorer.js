// Of pages that fit a search equally well that of messages comes first. The other values are those of Sphinx.
var Scorer = {
  score: ([page, , , , score]) => score + (page === "messages" ? 0.5 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
