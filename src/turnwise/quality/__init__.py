"""How good a data set is: measures that need no judge, aspects that do, and one overall figure."""
