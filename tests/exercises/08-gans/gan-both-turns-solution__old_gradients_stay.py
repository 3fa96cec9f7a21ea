def both_turns(generator, critic, adam_g, adam_c, real, z):
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(generator(z)))).mean()
    value.backward()
    for w in critic.parameters():
        w.grad.neg_()
    adam_c.step()
    adam_g.step()
