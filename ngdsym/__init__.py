from ngdsym.prover import prove
from ngdsym.rule import Rule
