"""Door 1: questions to a program before it trains, answered on copies."""
