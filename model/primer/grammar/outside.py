"""What lies outside the world: words that the assistant has to decline, in English.

The lists are wide rather than deep, because what they teach is the border of the world:
neighbours of the objects (other animals, fruits, vehicles) as well as far-off topics.
French and Arabic have files of their own.
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """A list written as lines of words apart by "|"."""
    return tuple(w.strip() for w in text.replace("\n", "|").split("|") if w.strip())


ENGLISH = {
    # With articles, as a thing to draw, film or ask about.
    "thing": words("""
        a lion|a tiger|a giraffe|a zebra|a monkey|a gorilla|a wolf|a bear|a panda|a koala
        a kangaroo|a camel|a goat|a donkey|a mouse|a rat|a squirrel|a hedgehog|a bat|a deer
        a duck|a goose|a swan|an owl|an eagle|a parrot|a peacock|a pigeon|a crow|a flamingo
        a snake|a crocodile|a lizard|a dinosaur|a dragon|a unicorn|a snail|a worm|an ant|a spider
        a mosquito|a ladybird|a whale|a dolphin|a shark|an octopus|a crab|a lobster|a seal|a hippo
        a rhino|a leopard|a hamster|an otter|a beaver|a scorpion|a jellyfish|a kitten|a puppy
        an orange|a lemon|a pear|a peach|a cherry|a melon|a pineapple|a mango|a coconut|a kiwi
        a potato|an onion|a cucumber|a pepper|an aubergine|broccoli|a salad|garlic|a pumpkin|a nut
        a hamburger|a sandwich|a hot dog|sushi|spaghetti|an egg|cheese|an ice cream|a biscuit|soup
        chocolate|a doughnut|a cup of coffee|a cup of tea|a glass of wine|a bottle of milk|beer
        an aeroplane|a helicopter|a motorcycle|a lorry|a tram|a taxi|a submarine|a spaceship|a ship
        a canoe|a tank|a scooter|a skateboard|a hot-air balloon|a fire engine|a police car|a tent
        a castle|a church|a mosque|a temple|a skyscraper|a bridge|a tower|a stadium|a lighthouse
        a farm|a museum|a library|a prison|a city|a street|a garden|a kitchen|a bathroom|a bedroom
        a table|a chair|a bed|a sofa|a lamp|a mirror|a door|a window|a clock tower|a carpet|a shelf
        a computer|a laptop|a keyboard|a television|a radio|a camera|a robot|a printer|a microphone
        a violin|a trumpet|a flute|a harp|a saxophone|an accordion|an orchestra|a choir|a xylophone
        a hammer|a saw|a screwdriver|an axe|a knife|a fork|a spoon|scissors|a needle|a rope|a ladder
        a pen|a pencil|a newspaper|a letter|a map|a flag|a wallet|money|a coin|a ring|a crown
        a shirt|a hat|a shoe|trousers|a dress|a coat|gloves|glasses|a sock|a scarf|a tie
        a man|a woman|a child|a baby|a girl|a boy|a king|a queen|a doctor|a teacher|a policeman
        a pirate|a knight|a wizard|a clown|a ghost|a skeleton|a zombie|an astronaut|a mermaid
        an angel|a monster|an alien|a vampire|a hand|an eye|a nose|a foot|a brain|a tooth
        a mountain|a volcano|a desert|an island|a river|a lake|a waterfall|a forest|a cave|a beach
        a rainbow|a tornado|a snowman|a snowflake|a planet|a comet|a galaxy|the Eiffel Tower|Saturn
        the Mona Lisa|a cactus|a palm tree|a tulip|a daisy|a leaf|a pine cone|grass|bamboo|an orchid
        a red square|a blue circle|a green triangle|a yellow square|a purple star|a black circle
        a tennis ball|a basketball|a chess board|a dice|a puzzle|a kite|a doll|a teddy bear|a yo-yo
        a candle|a torch|a balloon|a present|a Christmas tree|a medal|a trophy|an anchor|a wheel
        a hyena|a cheetah|a buffalo|a bull|a calf|a lamb|a pony|a stallion|a fawn|a moose|a reindeer
        an antelope|a gazelle|a badger|a raccoon|a skunk|a ferret|a weasel|a mole|a chimpanzee
        an orangutan|a walrus|a sea lion|a squid|a salmon|a tuna|a shrimp|an oyster|a starfish
        a seahorse|a catfish|a newt|a chameleon|a cobra|a python|a turkey|a rooster|an ostrich
        an emu|a stork|a heron|a pelican|a seagull|a sparrow|a swallow|a magpie|a raven|a vulture
        a hawk|a falcon|a toucan|a wasp|a fly|a moth|a beetle|a caterpillar|a dragonfly
        a grasshopper|a cockroach|a flea|a slug|an apricot|a plum|a fig|a date|a grapefruit
        a pomegranate|a raspberry|a blueberry|an olive|a cabbage|a lettuce|a leek|a radish|a turnip
        a beetroot|celery|spinach|a bean|a pea|ginger|rice|a croissant|a pancake|a waffle|a muffin
        a pie|a burger|a steak|a sausage|bacon|a kebab|a taco|apple juice|tomato soup|an apple tree
        a banana skin|a bread knife|honey|butter|jam|salt|sugar|an oak tree|a pine tree|a tree house
        a doghouse|a birdcage|a beehive|a fish tank|a horseshoe|a school bag|a bus stop
        a train station|a car tyre|a fire hydrant|a house of cards|a star sign|a moon rover
        a key ring|a rain coat|a heart surgeon|a piano stool|a drumstick|a van|a limousine|a jeep
        a bulldozer|a crane|a forklift|a wheelbarrow|a sledge|a cable car|a ferry|a yacht|a raft
        a gondola|a glider|a drone|a parachute|a satellite|a space station|a traffic light|a pyramid
        a palace|a hut|an igloo|a barn|a windmill|a well|a fence|a gate|a cathedral|a hotel
        a restaurant|a supermarket|a bakery|a bank|a theatre|a zoo|a playground|a swimming pool
        an airport|a fridge|an oven|a toaster|a kettle|a frying pan|a plate|a bowl|a cup|a teapot
        a bottle|a pillow|a blanket|a towel|a curtain|a drawer|a bathtub|a shower|a tap|soap
        a toothbrush|a comb|a razor|lipstick|perfume|a necklace|an earring|a bracelet|a belt|a boot
        a sandal|a jacket|a skirt|pyjamas|a swimsuit|a helmet|a mask|a suitcase|a handbag|a purse
        a notebook|a ruler|a rubber|a paintbrush|glue|a stapler|a calculator|a calendar|a stamp
        a postcard|a magnet|a battery|a plug|a screw|a spade|a rake|a bucket|a broom|a mop|a hose
        a trombone|a clarinet|an oboe|a tuba|a banjo|a cello|a harmonica|bagpipes|a tambourine
        a gong|a nurse|a farmer|a soldier|a cook|a judge|a thief|a prince|a princess|a giant|a dwarf
        a witch|an elf|a fairy|a cowboy|a ninja|a viking|a bride|a grandmother|a finger|an ear
        a mouth|a leg|a bone|a hill|a valley|a cliff|a glacier|an iceberg|a swamp|a meadow|an oasis
        a reef|the Earth|Mars|a meteor|ivy|moss|a lily|a poppy|a violet|a bush|a seed|an acorn
        a root|a log|a thorn|a grey oval|a white diamond|an orange hexagon|a pink spiral
        a brown rectangle|an arrow|a rugby ball|a golf club|a surfboard|skis|a dartboard|a bow
        a sword|a shield
        """),
    "topic": words("""
        the president|the weather|football results|politics|the stock market|history|philosophy
        the French revolution|the second world war|quantum physics|black holes|gravity|evolution
        photosynthesis|the human body|vitamins|medicine|cancer|diabetes|taxes|law|the constitution
        religion|economics|inflation|psychology|love|the meaning of life|happiness|death|dreams
        music theory|jazz|Mozart|Shakespeare|Picasso|Einstein|Napoleon|Cleopatra|Marie Curie
        Paris|London|Cairo|Tokyo|New York|Egypt|Brazil|China|Africa|Antarctica|the Moon landing
        the Olympic games|chess|cooking|gardening|yoga|fashion|tourism|bitcoin|machine learning
        neural networks|Python|Java|the internet|operating systems|databases|encryption|robots
        the news|video games|films|novels|poetry|grammar|mathematics|geometry|chemistry|atoms
        climate change|energy|oil|electricity|engines|space travel|time travel|dinosaurs|volcanoes
        """),
    "sound": words("""
        a violin|a trumpet|a flute|a lion|a wolf|a baby crying|a woman singing|a man talking
        a door|footsteps|a helicopter|an aeroplane|a chainsaw|a hammer|a keyboard|breaking glass
        laughter|a cough|a sneeze|snoring|a whisper|a scream|a choir|an orchestra|an explosion
        a gunshot|fireworks|a washing machine|a vacuum cleaner|a kettle|a waterfall|a river
        an owl|a duck|a snake|a whale|a monkey|a donkey|a mouse|a harp|a saxophone|a radio
        a crowd|a football match|a church organ|a speech|a poem|a pop song|the national anthem
        a robot voice|my voice|a printer|a typewriter|a camera|a zip|popcorn|a fountain|a toy
        a drill|a lawnmower|a motorbike|a tank|a ship|a sewing machine|a coffee machine|a wasp
        a turkey|a rooster|a seagull|a goose|a cello|a banjo|an oboe|a tuba|a gong|a harmonica
        a kazoo|a yawn|a hiccup|a kiss|a burp|chewing|a baby laughing|a man coughing
        a clock striking twelve|a coin|a sword|a whip|a saw|a toaster|a fridge|a hairdryer
        an earthquake|an avalanche|hail|a volcano|a zipper|a slot machine|a roller coaster|a modem
        static|white noise|a tiger|bubbles
        """),
    "motion": words("""
        dances|swims|flies away|explodes|melts|laughs|sleeps|walks|runs|eats an apple|sings|cooks
        reads a book|plays football|talks|falls in love|changes colour|turns into a lion|disappears
        opens|breaks|burns|drives a car|writes a letter|waves goodbye|cries|climbs a tree|fights
        hides behind a tree|goes to school|gets dressed|drinks milk|splits in two|zigzags|nods
        rides a horse|spins a web|coughs|plays the guitar|sneezes|yawns|goes on holiday
        builds a house|wears a hat|sits on a chair|makes a phone call|faints|whistles|folds
        """),
    "colour": words("""
        red|purple|orange|brown|grey|gold|silver|turquoise|violet|beige|rainbow|striped|transparent
        chequered|dotted|cyan|maroon|olive|wooden|snowy
        crimson|indigo|lavender|navy|bronze|marble|metallic|checked|spotted|tartan|neon|rusty
        scarlet|ivory|amber|zebra-striped
        """),
    "number": words("""
        four|five|six|seven|eight|nine|ten|twelve|twenty|fifty|a hundred|4|5|6|10|50|eleven|thirteen
        fifteen|thirty|forty|ninety|a dozen|a thousand|7|8|9|11|12|15|20|30|100|fourteen|sixteen
        seventeen|eighteen|nineteen|twenty-one|twenty-five|sixty|seventy|eighty|two hundred
        a million|14|16|17|18|19|21|22|23|24|25|26|29|31|32|35|36|40|45|60|70|80|90|99|120|200|300
        500|1000
        """),
}
SIGNS = {
    "+": ("plus",),
    "-": ("minus",),
    "*": ("times", "multiplied by"),
    "/": ("divided by", "over"),
}

SHAPES_EN = (
    # topics
    "{tell me|what do you know|what can you tell me|explain something} about $topic",
    "{explain|define|discuss|summarise} $topic",
    "{what is|what are your thoughts on|what do you think of|who invented} $topic?",
    "{write|give me} {an essay|a poem|a story|a report|an article} about $topic",
    "{why is|how important is|how old is|when did people discover} $topic?",
    "{teach me|help me understand|i have a question about|let's talk about} $topic",
    "{recommend a book|what is new|give me three facts} about $topic",
    # things
    "{what is|what's|what does it mean to own|how much is} $thing?",
    "{where can i buy|how do i make|how heavy is|how do i draw} $thing?",
    "{tell me about|write a poem about|tell me a story about|describe} $thing",
    "{what does|how does} $thing {eat|look like|sound like|work|taste|smell}?",
    "{have you ever seen|do you like|can you eat|do you have|why do people want} $thing?",
    # general knowledge and chat
    "what is the {capital|population|currency|flag|language} of {France|Egypt|Japan|Canada|Peru}?",
    "who {wrote Hamlet|painted the Mona Lisa|won the world cup|is the king of England|made you}?",
    "{how old are you|where do you live|are you human|do you dream|do you have feelings}?",
    "{what time is it|what day is it|what's the date|how is the weather|will it rain tomorrow}?",
    "how {far is the sun|deep is the ocean|tall is Mount Everest|fast is light|do planes fly}?",
    "when {was Rome founded|did the war end|is Easter|does the shop open|were you made}?",
    "why {is the sky blue|do we sleep|do cats purr|is the sea salty|are you so slow}?",
    "{tell me a joke|sing me a song|tell me a secret|tell me a story|give me some advice}",
    "{tell|read} {me|us} a {tale|fairy tale|bedtime story}",
    "{what should i eat|what should i wear|where should i travel|which phone should i buy}?",
    "{book me a flight|order a pizza|call my mother|send an email|set a timer|turn on the lights}",
    "{open a website|search the web|download a file|play a film on tv|buy me a present}",
    "{write|debug|show me|explain} {a python function|some code|a sql query|a sorting algorithm}",
    "{write a program|write javascript|write html|fix my code} {for me|that sorts a list|please}",
    "{what is this error|how do i install linux|how do i reset my password|what is a pointer}?",
    "{translate|say} {good morning|i love you|my name is John|goodbye} in {German|Spanish}",
    "{prove that|show that|is it true that} {primes never end|p equals np|god exists}",
    "{solve the equation|integrate|differentiate} {x squared plus 1|sin of x|y = 3x}",
    "{who is in this picture|who took this photo|when was this taken|where was this taken}?",
    "{who is|what is the name of} {this person|this man|this woman} {in|on} the {picture|photo}?",
    "{who is|who's} {that|this|shown here|in the photo|on the picture}?",
    "{how old|how tall|how rich} is the {man|woman|person} in the {picture|photo}?",
    "{whose photo is this|who painted this picture|in which year was this|is this person famous}?",
    "{read|write down} the {text|words|letters|sign} {in the picture|on the page}",
    "{is this legal|is this real|is it expensive|is it art|is this dangerous}?",
    "{what should i do about|how do i fix|i am sad about} my {job|car|back|friend}",
    "{asdf|qwerty|blah blah|lorem ipsum|hmm|???|xyz 123|la la la}",
    "{lend me some money|marry me|make me a coffee|do my homework|clean my room}",
)
DRAW_EN = (
    "{draw|paint|sketch|show me} {a picture of|} $thing",
    "{draw|paint} {me|us} $thing {on a blue background|on the left|in the centre|, please}",
    "{can|could} you {draw|paint|show me} $thing?",
    "i {want|would like} a picture of $thing",
    "{a picture of|an image of|a photo of} $thing",
    "{draw|paint|show me} $object {next to|riding|eating|behind|inside} $thing",
    "{draw|paint|show me} $object and $thing",
    "{draw|paint|show me} $number $many",
    "a photo with $number $many",
    "{draw|paint|show me} $object on a $colour background",
    "{draw|make|generate} a $colour $noun",
    "{draw|make} {a logo|a portrait|a map|a diagram|a landscape} {of|with|for} $thing",
    "{draw|paint} $topic",
    "{draw|paint|show me} {my house|yourself|my mother|your dream|nothing|the past|me}",
)
PLAY_EN = (
    "{play|make|let me hear} {the sound of|} $oddsound",
    "{what does|how does} $oddsound sound{ like|}?",
    "{can|could} you {play|make the sound of} $oddsound?",
    "i want to hear $oddsound",
    "{play|sing|compose} {some jazz|a symphony|a love song|some rock|happy birthday|techno}",
    "{the sound of|a recording of|sound:} $oddsound",
    "{read|say} {this aloud|hello aloud|something with your voice|a poem aloud}",
    "{play|let me hear} $oddsound {twice|three times|louder|, please}",
)
FILM_EN = (
    "{film|animate|make a film of|make a video of} $object that $oddmotion",
    "{make a video|make a film|show me a clip} {in which|where} $object $oddmotion",
    "{film|animate|make a film of|a video of} $thing {moving left|that spins|that grows|}",
    "{can|could} you {film|animate} $thing?",
    "{can|could} you film how $object $oddmotion?",
    "{make|film} {a documentary|a trailer|a cartoon|an action film} about $thing",
    "{film|make a video of} {a football match|a car chase|a wedding|the sea at night|me|my dog}",
    "{film|make a film of} {two|three|five} $many {dancing|fighting|spinning|moving left}",
)
