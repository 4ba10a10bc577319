from ngdsym.network.linear_network import LinearNetwork
from ngdsym.proof.existence import exists
from ngdsym.proof.prover import ProofNotFound, VacuousHypotheses, prove
from ngdsym.proof.refute import CounterexampleNotFound, refute
from ngdsym.rules.rule import Rule
from ngdsym.theorems.verify import verify
