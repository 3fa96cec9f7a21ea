def three_scores(log_p, k, first, second):
    joint = log_p + (first[:, None] * second).log()
    own = joint[torch.arange(len(k)), k[:, 1], k[:, 0]]
    return own, joint.flatten(1).amax(1), joint.flatten(1).logsumexp(1)
