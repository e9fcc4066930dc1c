import time
from espnet_llmasr.doctor import context as C
import test_checks as T
def test_rates(llm_options, phone_options, tmp_path):
    for ctx in (T.context_of(llm_options(tmp_path / "l", freeze_param=["encoder"])), T.context_of(phone_options(tmp_path / "c"))):
        t=time.time(); f=C.overfit(ctx); print("TINY", [round(x,2) for x in f.losses[::10]], len(f.losses), round(f.losses[-1],3), round(time.time()-t,1), time.process_time())
