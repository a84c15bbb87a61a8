"""`network: recurrent`: networks that read one token after the other, before the transformer (see `networks.py`)."""

from models.torch.recurrent.decoder import Decoder
from models.torch.recurrent.encoder import Encoder
from models.torch.recurrent.encoder_decoder import EncoderDecoder

__all__ = ["Decoder", "Encoder", "EncoderDecoder"]
