def causal_attention(q, k, v):
    logits = q @ k.T
    later = torch.ones_like(logits, dtype=torch.bool).triu(1)
    return logits.masked_fill(later, -math.inf).softmax(1) @ v
