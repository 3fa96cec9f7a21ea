def three_scores(log_p, k, first, second):
    joint = log_p + (first[:, None] * second).log()
    own = joint[torch.arange(len(k)), k[:, 0], k[:, 1]]
    best = joint.flatten(1).gather(1, log_p.flatten(1).argmax(1, keepdim=True))[:, 0]
    return own, best, joint.flatten(1).logsumexp(1)
