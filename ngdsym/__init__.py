from ngdsym.network import LinearNetwork
from ngdsym.prover import prove
from ngdsym.refute import refute
from ngdsym.rule import Rule
from ngdsym.verify import verify
